"""Whether a create is taken, before any work is done for it."""

from dataclasses import replace

from frontend.http.key_limits import KeyLimits
from frontend.http.key_ring import KeyRing
from frontend.jobs.limits import NO_BUDGET, Budget, JobLimits
from frontend.jobs.service import JobService
from frontend.rate_limiter import RateLimiter


class Admission:
    """Applies the limits of the server, and of the API key that a request came with.

    Args:
        keys: None where no request has one.
        max_waiting: jobs that wait.
        budget: of the server.
    """

    def __init__(self, jobs: JobService, keys: KeyRing | None, max_waiting: int, budget: Budget = NO_BUDGET) -> None:
        self._jobs = jobs
        self._keys = keys
        self._max_waiting = max_waiting
        self._budget = budget
        self._rates = RateLimiter()

    async def admit(self, owner: str | None) -> JobLimits:
        """Count a create of `owner`, the name of its key.

        Returns:
            What `JobService.submit` has to check again, when the job is made.

        Raises:
            RateLimited: too many came within a minute.
            TooManyJobs, QueueFull, QuotaExceeded, JobsUnavailable: see `JobService.check`.
        """
        of_key = self._keys.limits_of(owner) if self._keys and owner is not None else KeyLimits()
        if owner is not None and of_key.requests_per_minute is not None:
            self._rates.take(owner, of_key.requests_per_minute)
        budget = replace(self._budget, per_day_of_key=of_key.dollars_per_day)
        limits = JobLimits(self._max_waiting, of_key.max_jobs, of_key.seconds_per_day, of_key.priority, budget)
        await self._jobs.check(owner, limits)
        return limits
