"""Requests in this process that wait for the ends of jobs."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from frontend.jobs.state import FinishedJob

Outcome = FinishedJob | Exception


class Waiters:
    """Tells them at once what a job came to that ended in this process."""

    def __init__(self) -> None:
        self._impatient: Counter[str] = Counter()
        self._waiting: defaultdict[str, set[asyncio.Future[Outcome]]] = defaultdict(set)

    def is_awaited(self, job_id: str) -> bool:
        """Whether a client waits who is better told at once that the job cannot be done now."""
        return self._impatient[job_id] > 0

    @contextmanager
    def waiting(self, job_id: str, *, impatient: bool = True) -> Iterator[asyncio.Future[Outcome]]:
        """What the job comes to, if it ends here."""
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting[job_id].add(future)
        self._impatient[job_id] += impatient
        try:
            yield future
        finally:
            self._impatient -= Counter({job_id: int(impatient)})  # which drops what is zero
            self._waiting[job_id].discard(future)
            if not self._waiting[job_id]:
                del self._waiting[job_id]

    def tell(self, job_id: str, outcome: Outcome) -> None:
        for future in self._waiting.get(job_id, ()):
            if not future.done():
                future.set_result(outcome)
