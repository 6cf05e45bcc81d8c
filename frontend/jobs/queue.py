"""What brings jobs to a process that runs them."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol

from frontend.jobs.state import Job

Work = Callable[[str], Awaitable[None]]
"""Runs the job of this id to its end, or raises CancelledError to be called again later"""


class JobQueue(Protocol):
    """Calls its `Work` for each job that was put in, in the event loop that opened it."""

    async def open(self) -> None:
        """Continue what waits. Raises an error of the database where it cannot be used."""
        ...

    async def put(self, job_id: str, turn: int) -> None:
        """Add a job, once: without effect on one that was added before. The least turn is called first."""
        ...

    async def begin(self, job_id: str) -> None:
        """Add a job as `put` does, and call for it here and now."""
        ...

    async def missing(self, job_ids: Iterable[str]) -> list[str]:
        """Those of the jobs that no entry will run, nor one that this process has begun."""
        ...

    async def remove(self, job_ids: Iterable[str]) -> None:
        """Forget the entries of jobs that have ended, or that are `missing`."""
        ...

    async def executors(self) -> set[str]:
        """The processes that have begun entries which have not ended."""
        ...

    async def take_over(self, executors: Iterable[str]) -> None:
        """Have the entries begun again that dead processes had begun."""
        ...

    def stop(self) -> None:
        """Begin no further entry."""
        ...

    async def close(self) -> None:
        """After `stop`, and when no call is left that has not ended: leave what has begun to other processes."""
        ...


async def enqueue(queue: JobQueue, job: Job) -> None:
    """Add a job that does not run yet. One of a hosted provider is called here and now, to wait for its place: it needs
    nothing of this machine that another process could offer, and jobs that do are not to wait behind it."""
    if job.spec.is_hosted:
        await queue.begin(job.spec.id)
    else:
        await queue.put(job.spec.id, job.turn)


class LocalQueue:
    """Calls at once, and forgets everything with the process."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._calls: dict[str, asyncio.Task[None]] = {}

    async def open(self) -> None:
        """Nothing waits."""

    async def put(self, job_id: str, turn: int) -> None:
        """See `JobQueue.put`; all are called at once, whatever their turns."""
        if job_id not in self._calls:
            call = self._calls[job_id] = asyncio.create_task(self._call(job_id))
            call.add_done_callback(lambda _: self._calls.pop(job_id))

    async def begin(self, job_id: str) -> None:
        """See `JobQueue.begin`."""
        await self.put(job_id, 0)

    async def missing(self, job_ids: Iterable[str]) -> list[str]:
        """See `JobQueue.missing`."""
        return [job_id for job_id in job_ids if job_id not in self._calls]

    async def remove(self, job_ids: Iterable[str]) -> None:
        """Entries go with their calls."""

    async def executors(self) -> set[str]:
        """There is no other process."""
        return set()

    async def take_over(self, executors: Iterable[str]) -> None:
        """There is nothing to take over."""

    def stop(self) -> None:
        """Nothing waits."""

    async def close(self) -> None:
        for call in list(self._calls.values()):
            call.cancel()

    async def _call(self, job_id: str) -> None:
        await self._work(job_id)
