"""Keeps jobs in a table, and their files in a storage."""

import asyncio
import io
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

import numpy as np
import structlog
from numpy.typing import NDArray
from PIL import Image
from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError

from frontend.errors import StorageError
from frontend.jobs.checkpoints import KIND as CHECKPOINT
from frontend.jobs.checkpoints import Checkpoints, Standing
from frontend.jobs.limits import NO_LIMITS, JobLimits
from frontend.jobs.listing import JobQuery, Page
from frontend.jobs.record import RunRecord
from frontend.jobs.run import JobLost
from frontend.jobs.spec import JobSpec
from frontend.jobs.spending import Spent
from frontend.jobs.state import Job, JobState
from frontend.jobs.table import Claim, Counts, JobTable
from frontend.jobs.usage import check_quota
from frontend.media.image_encoder import ImageEncoder
from frontend.storage.storage import FileName, Storage, StoredFile, read_whole

T = TypeVar("T")
_MAX_PAUSE_SECONDS = 5.0
_DAY_SECONDS = 24 * 3600
_log = structlog.get_logger(__name__)


class JobStore:
    """Keeps jobs; a `RunStore` for those that run here.

    `update` returns at once: `flush`, which has to be called every second or so, writes what has come meanwhile. What
    must not be lost is tried until it is written, however long the database is away.

    Args:
        max_age_seconds: for which jobs that have ended are kept.
        threads: that may use the table at the same time.
    """

    def __init__(self, table: JobTable, storage: Storage, max_age_seconds: float, threads: int = 4) -> None:
        self._table = table
        self._storage = storage
        self._max_age_seconds = max_age_seconds
        self._running: dict[str, Job] = {}
        """those that were claimed here, as they are now"""
        self._changed: set[str] = set()
        """of them those whose rows are behind"""
        self._threads = ThreadPoolExecutor(threads, "jobs-table")

    async def open(self) -> None:
        """Raises SQLAlchemyError where the database cannot be used."""
        await self._in_thread(self._table.open)

    async def close(self) -> None:
        await self._in_thread(self._table.close)
        self._threads.shutdown()

    async def create(self, job: Job, limits: JobLimits = NO_LIMITS) -> Job:
        """Keep a new job, see `JobTable.create`. It is safe on return.

        Raises:
            TooManyJobs, QueueFull, QuotaExceeded, InvalidRequest, SQLAlchemyError, StorageError: it is not kept.
        """
        image = job.spec.image
        if image is not None:
            file = await asyncio.to_thread(ImageEncoder("png").encode, image)
            await self._storage.put(_input(job.spec.id), file, "image/png")
        try:
            job = await self._in_thread(lambda: self._table.create(job, limits))
        except Exception:
            if image is not None:
                await self._delete_input(job.spec.id)
            raise
        if job.fence:
            self._running[job.spec.id] = job
        return job

    async def check(self, owner: str | None, limits: JobLimits) -> None:
        """Raises TooManyJobs, QueueFull, QuotaExceeded where a create would be refused now; SQLAlchemyError."""
        if limits.seconds_per_day is not None and owner is not None:
            now = time.time()
            used = await self._in_thread(lambda: self._table.usage.seconds(owner, now))
            check_quota(owner, used, limits.seconds_per_day, now)
        if limits.counts:
            counts = await self.counts(owner)
            limits.check(counts.waiting, counts.of_owner, owner, begins=False)

    async def counts(self, owner: str | None) -> Counts:
        """See `JobTable.counts`."""
        return await self._in_thread(lambda: self._table.counts(owner))

    async def add_seconds(self, owner: str, seconds: float) -> None:
        """Jobs of `owner` have run for so many more."""
        await self._persist(lambda: self._table.usage.add(owner, time.time(), seconds))

    async def spent(self, day: int, owner: str | None) -> list[Spent]:
        """See `Spending.since`."""
        return await self._in_thread(lambda: self._table.spending.since(day, owner))

    async def drained(self) -> frozenset[str]:
        """See `DrainedServers.names`."""
        return await self._in_thread(self._table.drained_servers.names)

    async def set_drained(self, name: str, drained: bool) -> None:
        """Take note of whether a server gets no new jobs."""
        servers = self._table.drained_servers
        await self._in_thread(lambda: servers.add(name) if drained else servers.remove(name))

    async def recorded(self, job_id: str) -> Job | None:
        """A job as its row has it, which may be behind but for its submissions. Tries until the database answers."""
        return await self._persist(lambda: self._table.get(job_id))

    async def claim(self, job_id: str) -> Claim | None:
        """See `JobTable.claim`; with the image that it starts from.

        Raises:
            ValueError: what is kept of it cannot be read, or is gone.
            StorageError: its image cannot be read now.
        """
        claim = await self._persist(lambda: self._table.claim(job_id))
        if claim is None:
            return None
        job = claim.job
        if job.has_image:
            try:
                job = job.model_copy(update={"spec": job.spec.starting_from(await self._image(job_id))})
            except StorageError:
                await self._persist(lambda: self._table.release(claim.job))
                raise
        self._running[job_id] = job
        return Claim(job, claim.attempts)

    async def release(self, job: Job) -> None:
        """See `JobTable.release`; what is known of its progress is kept."""
        latest = self._running.get(job.spec.id, job)
        self._forget(job)
        await self._persist(lambda: self._table.update([latest]))
        await self._persist(lambda: self._table.release(job))

    def record(self, job: Job) -> RunRecord:
        """Of a run of a job that was claimed here."""
        return RunRecord(job, Checkpoints(job, self._storage, self._standing), self._standing, self._submit)

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
        product = job.spec.product
        for part, file in enumerate(files):
            await self._storage.put(FileName(job.spec.id, part, product.kind), file, product.media_type)
        job = job.with_state(self._expiring(job.state))
        kept = await self._persist(lambda: self._table.finish(job))
        self._forget(job)
        if not kept:
            await self._delete_files_of_none(job.spec.id)
            raise JobLost
        if job.spec.image is not None:
            await self._delete_input(job.spec.id)
        return _without_image(job)

    async def end(self, job_id: str, state: JobState) -> bool:
        """See `JobTable.end`."""
        state = self._expiring(state)
        ended = await self._in_thread(lambda: self._table.end(job_id, state))
        if ended:
            with suppress(StorageError):  # a sweep removes them too
                async for file in self._storage.list(job_id):
                    if file.name.kind == CHECKPOINT:
                        await self._storage.delete(file.name)
        return ended

    async def get(self, job_id: str) -> Job | None:
        """None where it is not found or has expired."""
        if job := self._running.get(job_id):
            return _without_image(job)
        job = await self._in_thread(lambda: self._table.get(job_id))
        if job is None or (job.state.expires_at is not None and job.state.expires_at <= time.time()):
            return None
        return job

    async def repeated(self, idempotency: str) -> Job | None:
        """See `JobTable.repeated`."""
        return await self._in_thread(lambda: self._table.repeated(idempotency))

    async def retried(self, request_hash: str, max_age_seconds: float) -> Job | None:
        """See `JobTable.retried`."""
        return await self._in_thread(lambda: self._table.retried(request_hash, time.time() - max_age_seconds))

    async def repeats(self, job_id: str) -> int:
        """See `JobTable.repeats`."""
        return await self._in_thread(lambda: self._table.repeats(job_id))

    async def free(self, job_id: str) -> None:
        """See `JobTable.free`."""
        await self._in_thread(lambda: self._table.free(job_id))

    async def secret(self, name: str) -> bytes:
        """See `JobTable.secret`."""
        return await self._in_thread(lambda: self._table.secret(name))

    async def file(self, job: Job, part: int = 0) -> StoredFile | None:
        """A file of a completed job; None where there is none."""
        if job.state.status != "completed" or part >= len(job.spec.samples):
            return None
        return await self._storage.head(FileName(job.spec.id, part, job.spec.product.kind))

    async def contents(self, job: Job) -> tuple[bytes, ...] | None:
        """All files of a completed job; None where one is gone."""
        contents = []
        for part in range(len(job.spec.samples)):
            file = await self.file(job, part)
            if file is None:
                return None
            contents.append(await read_whole(self._storage, file))
        return tuple(contents)

    async def page(self, query: JobQuery) -> Page | None:
        """See `JobTable.page`; of the jobs that run here as they are now, unless their status is asked for."""
        now = time.time()
        page = await self._in_thread(lambda: self._table.page(query, now))
        if page is None or query.status is not None:
            return page
        return Page(tuple(self._running.get(job.spec.id, job) for job in page.jobs), page.has_more)

    async def queued_before(self, job: Job) -> int:
        """See `JobTable.queued_before`."""
        return await self._in_thread(lambda: self._table.queued_before(job))

    async def unfinished(self, older_than_seconds: float) -> list[str]:
        """See `JobTable.unfinished`; without those that run here."""
        found = await self._in_thread(lambda: self._table.unfinished(time.time() - older_than_seconds))
        return [job_id for job_id in found if job_id not in self._running]

    async def expired(self, limit: int) -> tuple[str, ...]:
        """See `JobTable.expired`."""
        return await self._in_thread(lambda: self._table.expired(time.time(), limit))

    async def remove(self, job_ids: tuple[str, ...]) -> None:
        """Jobs and their files. Raises StorageError, SQLAlchemyError: call it again."""
        for job_id in job_ids:
            await self._delete_files(job_id)
        await self._in_thread(lambda: self._table.remove(job_ids))

    async def remove_orphans(self) -> None:
        """Files that are older than the oldest finished job, and belong to none that is known; checkpoints of jobs that
        have ended.

        Raises:
            StorageError, SQLAlchemyError: call it again.
        """
        before = time.time() - self._max_age_seconds
        files = [file async for file in self._storage.list()]
        checkpoints = [file.name for file in files if file.name.kind == CHECKPOINT]
        running = (
            set(await self._in_thread(lambda: self._table.unfinished(time.time() + _DAY_SECONDS)))
            if checkpoints
            else set()
        )
        for name in checkpoints:
            if name.job_id not in running:
                await self._storage.delete(name)
        old = {file.name for file in files if file.stored_at < before}
        unknown = await self._in_thread(lambda: self._table.unknown(name.job_id for name in old))
        for name in old:
            if name.job_id in unknown:
                await self._storage.delete(name)

    async def beat(self, executor: str) -> None:
        """See `JobTable.beat`."""
        await self._in_thread(lambda: self._table.beat(executor))

    async def dead(self, executors: set[str], lease_seconds: float) -> set[str]:
        """See `JobTable.dead`."""
        return await self._in_thread(lambda: self._table.dead(executors, lease_seconds)) if executors else set()

    async def leave(self, executor: str) -> None:
        """See `JobTable.leave`."""
        await self._in_thread(lambda: self._table.leave(executor))

    async def _submit(self, job: Job, submissions: Mapping[int, str]) -> None:
        if not await self._persist(lambda: self._table.submit(job, submissions)):
            raise JobLost

    async def _standing(self, job: Job) -> Standing:
        found = await self._in_thread(lambda: self._table.get(job.spec.id))
        if found is None or found.state.is_finished:
            return "ended"
        return "runs" if found.fence == job.fence else "replaced"

    async def _image(self, job_id: str) -> NDArray[np.uint8]:
        file = await self._storage.head(_input(job_id))
        if file is None:
            raise ValueError("the image that it starts from is gone")
        content = await read_whole(self._storage, file)
        return await asyncio.to_thread(lambda: np.asarray(Image.open(io.BytesIO(content))))

    async def _delete_files_of_none(self, job_id: str) -> None:
        """What a run has stored after its job was deleted."""
        with suppress(StorageError, SQLAlchemyError):  # the sweep finds them too, later
            if await self._in_thread(lambda: self._table.get(job_id)) is None:
                await self._delete_files(job_id)

    async def _delete_files(self, job_id: str) -> None:
        for file in [file async for file in self._storage.list(job_id)]:
            await self._storage.delete(file.name)

    async def _delete_input(self, job_id: str) -> None:
        with suppress(StorageError):  # it goes when the job expires
            await self._storage.delete(_input(job_id))

    def _runs(self, job: Job) -> bool:
        """Whether it is the last run of the job that began here."""
        running = self._running.get(job.spec.id)
        return running is not None and running.fence == job.fence

    def _forget(self, job: Job) -> None:
        if self._runs(job):
            self._changed.discard(job.spec.id)
            del self._running[job.spec.id]

    def _expiring(self, state: JobState) -> JobState:
        return state.model_copy(update={"expires_at": (state.finished_at or time.time()) + self._max_age_seconds})

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


def _input(job_id: str) -> FileName:
    return FileName(job_id, kind="input")


def _without_image(job: Job) -> Job:
    spec: JobSpec = job.spec.model_copy(update={"image": None})
    return job.model_copy(update={"spec": spec})
