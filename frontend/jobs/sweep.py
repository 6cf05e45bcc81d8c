"""What has to be looked after now and then, by each process that runs jobs."""

import asyncio

import structlog
from sqlalchemy.exc import SQLAlchemyError

from frontend.jobs.queue import JobQueue
from frontend.jobs.table_store import TableJobStore

SWEEP_SECONDS = 5.0
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
        is_lone: whether all others are gone.
    """

    def __init__(self, store: TableJobStore, queue: JobQueue, executor: str, *, is_lone: bool) -> None:
        self._store = store
        self._queue = queue
        self._executor = executor
        self._is_lone = is_lone

    async def run(self) -> None:
        """Now, and again and again."""
        while True:
            try:
                await self.once()
            except (SQLAlchemyError, OSError) as error:
                _log.warning("jobs could not be looked after", reason=str(error))
            except Exception as error:  # of DBOS: there will be a next time
                _log.error("jobs could not be looked after", exc_info=error)
            await asyncio.sleep(SWEEP_SECONDS)

    async def once(self) -> None:
        await self._take_over()
        await self._queue_again()
        await self._remove_expired()

    async def _take_over(self) -> None:
        others = await self._queue.executors() - {self._executor}
        if dead := others if self._is_lone else await self._store.dead(others, LEASE_SECONDS):
            _log.warning("taking over the jobs of processes that are gone", executors=sorted(dead))
            await self._queue.take_over(dead)

    async def _queue_again(self) -> None:
        missing = await self._queue.missing(await self._store.unfinished(_SETTLED_SECONDS))
        await self._queue.remove(missing)
        for job_id in missing:
            _log.warning("a job had fallen out of the queue", job=job_id)
            await self._queue.put(job_id)

    async def _remove_expired(self) -> None:
        while expired := await self._store.expired(_AT_ONCE):
            await self._queue.remove(expired)
            await self._store.remove(expired)
