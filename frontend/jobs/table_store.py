"""Keeps jobs in a table, and their files beside it."""

import asyncio
import contextlib
import io
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TypeVar

import numpy as np
import structlog
from PIL import Image
from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError

from frontend.jobs.files import Files
from frontend.jobs.state import Job, JobState
from frontend.jobs.store import JobLost
from frontend.jobs.table import Claim, JobTable, Order, Page
from frontend.media.image_encoder import ImageEncoder

T = TypeVar("T")
_THREADS = 4
_INPUT = "input.png"
_UNKEPT_SECONDS = 300
"""for which a job that is not kept stays, so that whoever waits for it in another process finds it"""
_MAX_PAUSE_SECONDS = 5.0
_log = structlog.get_logger(__name__)


class TableJobStore:
    """Keeps jobs beyond the end of the process, for several processes; a `RunStore` for those that run.

    `update` returns at once: `flush`, which has to be called every second or so, writes what has come meanwhile. What
    must not be lost is tried until it is written, however long the database is away.

    Args:
        max_age_seconds: for which jobs that have ended are kept.
    """

    def __init__(self, table: JobTable, files: Files, max_age_seconds: float) -> None:
        self._table = table
        self._files = files
        self._max_age_seconds = max_age_seconds
        self._running: dict[str, Job] = {}
        """those that were claimed here, as they are now"""
        self._changed: set[str] = set()
        """of them those whose rows are behind"""
        self._threads = ThreadPoolExecutor(_THREADS, "jobs-table")

    async def open(self) -> None:
        """Raises SQLAlchemyError where the database cannot be used."""
        await self._in_thread(self._table.open)

    async def close(self) -> None:
        await self._in_thread(self._table.close)
        self._threads.shutdown()

    async def create(self, job: Job, creator: str) -> None:
        """Keep a new job of a client of the process `creator`, see `JobTable.create`. It is safe on return.

        Raises:
            SQLAlchemyError, OSError: it is not kept.
        """
        name = None
        if job.spec.image is not None:
            name = _name(job.spec.id, _INPUT)
            await self._files.put(name, await asyncio.to_thread(ImageEncoder("png").encode, job.spec.image))
        try:
            await self._in_thread(lambda: self._table.create(job, creator, name))
        except SQLAlchemyError:
            if name is not None:
                await self._files.remove(job.spec.id)
            raise
        if job.fence:
            self._running[job.spec.id] = job

    async def claim(self, job_id: str) -> Claim | None:
        """See `JobTable.claim`; with the image that it starts from.

        Raises:
            ValueError: what is kept of it cannot be read, or is gone.
            OSError: its image cannot be read now.
        """
        claim = await self._persist(lambda: self._table.claim(job_id))
        if claim is None:
            return None
        job = claim.job
        if claim.input is not None:
            image = await self._files.get(claim.input)
            if image is None:
                raise ValueError(f"{claim.input} is not found")
            pixels = await asyncio.to_thread(lambda: np.asarray(Image.open(io.BytesIO(image))))
            job = job.model_copy(update={"spec": job.spec.starting_from(pixels)})
        self._running[job_id] = job
        return replace(claim, job=job)

    async def release(self, job: Job) -> None:
        """See `JobTable.release`; what is known of its progress is kept."""
        latest = self._running.get(job.spec.id, job)
        self._forget(job)
        await self._persist(lambda: self._table.update([latest]))
        await self._persist(lambda: self._table.release(job))

    async def update(self, job: Job) -> None:
        if self._runs(job):
            self._running[job.spec.id] = job
            self._changed.add(job.spec.id)

    async def flush(self) -> set[str]:
        """Write what has changed. Ids of the jobs that run here and should not: cancelled, or taken over."""
        changed = [self._running[job_id] for job_id in self._changed]
        running = list(self._running.values())
        self._changed.clear()
        try:
            if changed:
                await self._in_thread(lambda: self._table.update(changed))
            return await self._in_thread(lambda: self._table.lost(running))
        except BaseException:
            self._changed |= {job.spec.id for job in changed} & self._running.keys()
            raise

    async def finish(self, job: Job, files: tuple[bytes, ...]) -> Job:
        names = []
        for part, file in enumerate(files):
            # Each run has its own: one that was replaced cannot overwrite what the job has come to.
            names.append(_name(job.spec.id, f"{job.fence}-{part}.{job.spec.product.suffix}"))
            await self._files.put(names[-1], file)
        expires_at = self._expiry(job.state.finished_at or time.time(), job.spec.keep)
        job = job.with_state(job.state.model_copy(update={"expires_at": expires_at}))
        kept = await self._persist(lambda: self._table.finish(job, names))
        self._forget(job)
        if not kept:
            raise JobLost
        with contextlib.suppress(OSError):  # the sweep tries again
            await self._files.remove(job.spec.id, keep=names)
        return job.model_copy(update={"spec": job.spec.model_copy(update={"image": None})})

    async def end(self, job_id: str, state: JobState, *, keep: bool) -> bool:
        """See `JobTable.end`."""
        state = state.model_copy(update={"expires_at": self._expiry(state.finished_at or time.time(), keep)})
        return await self._in_thread(lambda: self._table.end(job_id, state))

    async def get(self, job_id: str) -> Job | None:
        if job := self._running.get(job_id):
            return job.model_copy(update={"spec": job.spec.model_copy(update={"image": None})})
        job = await self._in_thread(lambda: self._table.get(job_id))
        if job is None or (job.state.expires_at is not None and job.state.expires_at <= time.time()):
            return None
        return job

    async def content(self, job_id: str) -> bytes | None:
        files = await self.contents(job_id, most=1)
        return files[0] if files else None

    async def contents(self, job_id: str, most: int | None = None) -> tuple[bytes, ...] | None:
        """The first `most` files of a completed job; None where it is not found or has expired."""
        names = await self._in_thread(lambda: self._table.files(job_id))
        if names is None or await self.get(job_id) is None:
            return None
        files = [await self._files.get(name) for name in names[:most]]
        return None if None in files else tuple(file for file in files if file is not None)

    async def page(self, *, owner: str | None, after: str | None, limit: int, order: Order) -> Page | None:
        """See `JobTable.page`; of the jobs that run here as they are now."""
        now = time.time()
        page = await self._in_thread(
            lambda: self._table.page(owner=owner, after=after, limit=limit, order=order, now=now)
        )
        return page and Page(tuple(self._running.get(job.spec.id, job) for job in page.jobs), page.has_more)

    async def unfinished(self, older_than_seconds: float) -> list[str]:
        """See `JobTable.unfinished`; without those that run here."""
        found = await self._in_thread(lambda: self._table.unfinished(time.time() - older_than_seconds))
        return [job_id for job_id in found if job_id not in self._running]

    async def expired(self, limit: int) -> tuple[str, ...]:
        """See `JobTable.expired`."""
        return await self._in_thread(lambda: self._table.expired(time.time(), limit))

    async def remove(self, job_ids: tuple[str, ...]) -> None:
        """Jobs and their files. Raises OSError, SQLAlchemyError: call it again."""
        for job_id in job_ids:
            await self._files.remove(job_id)
        await self._in_thread(lambda: self._table.remove(job_ids))

    async def beat(self, executor: str) -> None:
        """See `JobTable.beat`."""
        await self._in_thread(lambda: self._table.beat(executor))

    async def dead(self, executors: set[str], lease_seconds: float) -> set[str]:
        """See `JobTable.dead`."""
        return await self._in_thread(lambda: self._table.dead(executors, lease_seconds)) if executors else set()

    async def leave(self, executor: str) -> None:
        """See `JobTable.leave`."""
        await self._in_thread(lambda: self._table.leave(executor))

    def _runs(self, job: Job) -> bool:
        """Whether it is the last run of the job that began here."""
        running = self._running.get(job.spec.id)
        return running is not None and running.fence == job.fence

    def _forget(self, job: Job) -> None:
        if self._runs(job):
            self._changed.discard(job.spec.id)
            del self._running[job.spec.id]

    def _expiry(self, finished_at: float, keep: bool) -> float:
        return finished_at + (self._max_age_seconds if keep else _UNKEPT_SECONDS)

    async def _persist(self, work: Callable[[], T]) -> T:
        """The result of `work`, tried again while the database is away."""
        pause = 0.1
        while True:
            try:
                return await self._in_thread(work)
            except (OperationalError, InterfaceError) as error:
                _log.warning("the database of jobs does not answer, trying again", reason=str(error.orig))
            await asyncio.sleep(pause)
            pause = min(2 * pause, _MAX_PAUSE_SECONDS)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)


def _name(job_id: str, file: str) -> str:
    return f"{job_id}/{file}"
