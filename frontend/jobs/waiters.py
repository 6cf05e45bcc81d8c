"""Requests in this process that wait for the ends of jobs."""

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from frontend.jobs.state import FinishedJob

Outcome = FinishedJob | Exception


class Waiters:
    """Tells them at once what a job came to that ended in this process."""

    def __init__(self) -> None:
        self._waiting: defaultdict[str, set[asyncio.Future[Outcome]]] = defaultdict(set)

    def is_awaited(self, job_id: str) -> bool:
        return job_id in self._waiting

    @contextmanager
    def waiting(self, job_id: str) -> Iterator[asyncio.Future[Outcome]]:
        """What the job comes to, if it ends here."""
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting[job_id].add(future)
        try:
            yield future
        finally:
            self._waiting[job_id].discard(future)
            if not self._waiting[job_id]:
                del self._waiting[job_id]

    def tell(self, job_id: str, outcome: Outcome) -> None:
        for future in self._waiting.get(job_id, ()):
            if not future.done():
                future.set_result(outcome)
