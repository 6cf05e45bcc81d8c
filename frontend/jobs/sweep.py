"""What has to be looked after now and then, by each process that runs jobs."""

import asyncio
import time
from collections.abc import Container

import structlog
from sqlalchemy.exc import SQLAlchemyError

from frontend.errors import StorageError
from frontend.jobs.queue import JobQueue, enqueue
from frontend.jobs.store import JobStore

SWEEP_SECONDS = 5.0
_ORPHANS_SECONDS = 600.0
"""between two looks for files of no job, which take a list of all files"""
LEASE_SECONDS = 10.0
"""a process that has not written for so long is dead"""
_SETTLED_SECONDS = 5.0
"""a job that is younger may be on its way into the queue"""
_AT_ONCE = 500
_log = structlog.get_logger(__name__)


class Sweep:
    """Takes over what dead processes ran, queues jobs that fell out of the queue, and removes those that expired.

    Several processes may do so at the same time.

    Args:
        executor: name of this process.
        here: ids of the jobs that the queue has called for here, and that have not ended.
        is_lone: whether all others are gone.
    """

    def __init__(self, store: JobStore, queue: JobQueue, executor: str, here: Container[str], *, is_lone: bool) -> None:
        self._store = store
        self._queue = queue
        self._executor = executor
        self._here = here
        self._is_lone = is_lone
        self._suspects: set[str] | None = None
        """jobs that were in no queue the last time, perhaps because they were on their way; None before that"""
        self._orphans_at = 0.0
        self._deleted: set[str] = set()
        self._settled: set[str] = set()
        """jobs that were deleted before the last time: whatever the queue had begun for them has ended"""

    def forget(self, job_id: str) -> None:
        """Remove the entry of a deleted job from the queue, which finds no job meanwhile."""
        self._deleted.add(job_id)

    async def run(self) -> None:
        """Now, and again and again."""
        while True:
            try:
                await self.once()
            except (SQLAlchemyError, StorageError) as error:
                _log.warning("jobs could not be looked after", reason=str(error))
            except Exception as error:  # of DBOS: there will be a next time
                _log.error("jobs could not be looked after", exc_info=error)
            await asyncio.sleep(SWEEP_SECONDS)

    async def once(self) -> None:
        await self._take_over()
        await self._queue_again()
        await self._remove_expired()
        await self._remove_deleted()
        if time.monotonic() >= self._orphans_at:
            await self._store.remove_orphans()
            self._orphans_at = time.monotonic() + _ORPHANS_SECONDS

    async def _take_over(self) -> None:
        others = await self._queue.executors() - {self._executor}
        if dead := others if self._is_lone else await self._store.dead(others, LEASE_SECONDS):
            _log.warning("taking over the jobs of processes that are gone", executors=sorted(dead))
            await self._queue.take_over(dead)

    async def _queue_again(self) -> None:
        begins_alone = self._is_lone and self._suspects is None  # what is in no queue now was on nobody's way
        settled = 0.0 if begins_alone else _SETTLED_SECONDS
        unfinished = [job_id for job_id in await self._store.unfinished(settled) if job_id not in self._here]
        missing = set(await self._queue.missing(unfinished))
        fallen = sorted(missing if begins_alone else missing & (self._suspects or set()))
        self._suspects = missing.difference(fallen)
        await self._queue.remove(fallen)
        for job_id in fallen:
            _log.warning("a job had fallen out of the queue", job=job_id)
            if job := await self._store.recorded(job_id):
                await enqueue(self._queue, job)

    async def _remove_deleted(self) -> None:
        if self._settled:
            await self._queue.remove(self._settled)
        self._settled, self._deleted = self._deleted, set()

    async def _remove_expired(self) -> None:
        while expired := await self._store.expired(_AT_ONCE):
            await self._queue.remove(expired)
            await self._store.remove(expired)
