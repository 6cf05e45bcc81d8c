"""From a create to its job: a new one, or the one that an equal create has made before."""

from collections.abc import Awaitable, Callable

from frontend.http.request_identity import RequestIdentity
from frontend.jobs.errors import KeyTaken
from frontend.jobs.spec import JobSpec
from frontend.jobs.state import FinishedJob, Job
from frontend.services import Services


async def submit_once(services: Services, identity: RequestIdentity, plan: Callable[[], Awaitable[JobSpec]]) -> Job:
    """The job that the request asks for; `plan` is called where that is a new one.

    Raises:
        IdempotencyKeyReused, RateLimited, TooManyJobs, QueueFull, JobsUnavailable, StorageError, and what `plan`
        raises.
    """
    jobs, limits = services.jobs, None
    while True:
        earlier = await jobs.repeats.earlier(identity.request_hash, identity.idempotency, is_retry=identity.is_retry)
        if earlier is not None:
            return earlier
        if limits is None:
            limits = await services.admission.admit(identity.owner)
        try:
            return await jobs.submit(
                await plan(),
                owner=identity.owner,
                request_hash=identity.request_hash,
                idempotency=identity.idempotency,
                limits=limits,
            )
        except KeyTaken:  # by an equal request at the same moment
            continue


async def ended(services: Services, job: Job, identity: RequestIdentity) -> FinishedJob:
    """The job when it is completed. Cancelling this stops the job, unless its client was not to wait for it.

    Raises:
        As `JobService.wait`.
    """
    return await services.jobs.wait(
        job.spec.id, repeats=job.repeats, grace=identity.grace_seconds, stops=not job.spec.detached
    )
