"""What the routes know of jobs: submit, wait, get, list, cancel, delete."""

import asyncio
import re
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress

import structlog
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from frontend.error_rules import error_of
from frontend.errors import (
    EngineFailed,
    FrontendError,
    ImageNotFound,
    JobCancelled,
    JobNotFound,
    JobsUnavailable,
    VideoNotFound,
)
from frontend.jobs.errors import KeyTaken
from frontend.jobs.events import Ended, Interrupted, JobEvent, Recorded
from frontend.jobs.limits import NO_LIMITS, JobLimits
from frontend.jobs.listing import JobQuery, Kind, Page
from frontend.jobs.lock import FileLock
from frontend.jobs.repeats import Repeats, asked, unavailable
from frontend.jobs.spec import JobSpec
from frontend.jobs.spending import Spent
from frontend.jobs.state import FinishedJob, Job
from frontend.jobs.store import JobStore
from frontend.jobs.table import Counts
from frontend.jobs.waiters import Outcome
from frontend.jobs.worker import JobWorker, stop
from frontend.metrics import Metrics
from frontend.storage.storage import StoredFile
from protocol.printable import quoted
from tracing.spans import carrier, describe

_POLL_SECONDS = 1.0
_DEPARTURE_SECONDS = 2.0
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""of a job; PostgreSQL cannot even look for some others"""
_NOT_FOUND: dict[Kind | None, type[FrontendError]] = {
    "video": VideoNotFound,
    "image": ImageNotFound,
    None: JobNotFound,
}
_SETTLING_SECONDS = 5.0
"""that a job which is deleted may take to stop"""
_log = structlog.get_logger(__name__)


class JobService:
    """Keeps jobs in `store`; `worker` runs them, or that of another process on the same URL.

    Args:
        lock: held while jobs run here, where no other process may use the same database.
        is_stopping: whether the server was told to stop: jobs whose clients are sent away then go on later.
    """

    def __init__(
        self,
        store: JobStore,
        worker: JobWorker,
        metrics: Metrics,
        *,
        lock: FileLock | None = None,
        is_stopping: Callable[[], bool],
    ) -> None:
        self.repeats = Repeats(store)
        self._store = store
        self._worker = worker
        self._waiters = worker.waiters
        self._metrics = metrics
        self._lock = lock
        self._is_stopping = is_stopping
        self._departures: set[asyncio.Task[None]] = set()
        """of clients that may come again"""
        self._secrets: dict[str, bytes] = {}

    async def open(self, before: Callable[[], Awaitable[None]] | None = None) -> None:
        """Continue the jobs that wait.

        Args:
            before: called when the database can be asked, and no job goes on yet.

        Raises:
            JobsError: another process runs them.
            OSError, SQLAlchemyError, or an error of DBOS: the database cannot be used.
        """
        if self._lock is not None:
            self._lock.acquire()
        try:
            await self._store.open()
            if before is not None:
                await before()
            await self._worker.open()
        except BaseException:
            if self._lock is not None:
                self._lock.release()
            raise

    async def close(self) -> None:
        """Park the jobs that run: they go on at the next start, or in another process."""
        await stop(list(self._departures), _DEPARTURE_SECONDS)
        await self._worker.close()
        await self._store.close()
        if self._lock is not None:
            self._lock.release()

    @property
    def running(self) -> int:
        """Jobs that run here."""
        return self._worker.places.taken + self._worker.hosted_places.taken

    async def counts(self, owner: str | None = None) -> Counts:
        """Of the jobs that have not ended, in all processes. Raises JobsUnavailable."""
        return await asked(self._store.counts(owner))

    async def check(self, owner: str | None, limits: JobLimits) -> None:
        """Refuse a create before any work is done for it; `submit` checks again.

        Raises:
            TooManyJobs, QueueFull, QuotaExceeded, JobsUnavailable.
        """
        if limits.are_of_owner or self._worker.places.is_full:
            await asked(self._store.check(owner, limits))

    async def submit(
        self,
        spec: JobSpec,
        *,
        owner: str | None = None,
        request_hash: str | None = None,
        idempotency: str | None = None,
        limits: JobLimits = NO_LIMITS,
    ) -> Job:
        """Keep a job, and have it run: at once and here where there is room. It is safe on return.

        Cancelling this cancels the job, unless the server is stopping.

        Args:
            owner, request_hash, idempotency: see `Job`.

        Raises:
            KeyTaken: another job has that `idempotency`.
            TooManyJobs, QueueFull: `limits` do not allow another one.
            InvalidRequest, QuotaExceeded: it costs more than `limits` allow.
            JobsUnavailable, StorageError: it could not be kept.
        """
        describe({"job_id": spec.id})
        job = Job(
            spec=spec.model_copy(update={"trace": carrier()}),
            owner=owner,
            request_hash=request_hash,
            idempotency=idempotency,
            has_image=spec.image is not None,
        )
        submission = asyncio.create_task(self._worker.add(job, limits))
        try:
            await asyncio.shield(submission)
        except asyncio.CancelledError:
            await asyncio.wait((submission,))
            if submission.exception() is None and not self._is_stopping():
                await self.cancel(spec.id)
            raise
        except IntegrityError as error:
            if idempotency is None:
                raise
            raise KeyTaken from error
        except SQLAlchemyError as error:
            _log.error("a job could not be kept", job=spec.id, exc_info=error)
            raise unavailable(error) from None
        return job

    async def wait(
        self, job_id: str, *, repeats: int = 0, grace: Callable[[], float] | None = None, stops: bool = True
    ) -> FinishedJob:
        """The job when it is completed. Cancelling this cancels the job, unless the server is stopping, another client
        waits for it, or it `cannot_stop`.

        Args:
            repeats: of the job, as whoever waits has found it, see `Job`.
            grace: seconds for which the job goes on without its client, who may create it again; asked when it leaves.
            stops: whether cancelling this cancels the job at all.

        Raises:
            VideoNotFound: the job is not found or has expired.
            PipelineError, EngineUnavailable, EngineFailed: as the job failed.
        """
        try:
            with self._waiters.waiting(job_id) as ended_here:
                while not ended_here.done():
                    with suppress(JobsUnavailable):  # the job may go on, so this waits too
                        outcome = await self._outcome(job_id)
                        if outcome is not None:
                            return result_of(outcome)
                    await asyncio.wait((ended_here,), timeout=_POLL_SECONDS)
            return result_of(ended_here.result())
        except asyncio.CancelledError:
            if self._is_stopping() or not stops:
                raise
            grace_seconds = 0.0 if grace is None else grace()
            departure = asyncio.create_task(self._depart(job_id, repeats, grace_seconds))
            self._departures.add(departure)
            departure.add_done_callback(self._departures.discard)
            if not grace_seconds:
                await asyncio.wait((departure,))
            raise

    async def wait_up_to(self, job_id: str, seconds: float) -> Job:
        """The job when it has ended, or as it is then. Cancelling this has no effect on it.

        Raises:
            VideoNotFound: the job is not found or has expired.
            JobsUnavailable.
        """
        until = time.monotonic() + seconds
        with self._waiters.waiting(job_id, impatient=False) as ended_here:
            while not (job := await self.get(job_id)).state.is_finished:
                left = until - time.monotonic()
                if left <= 0:
                    break
                await asyncio.wait((ended_here,), timeout=min(left, _POLL_SECONDS))
        return job

    async def get(self, job_id: str) -> Job:
        """Raises VideoNotFound: the job is not found or has expired. Raises JobsUnavailable."""
        job = await asked(self._store.get(job_id)) if _ID.fullmatch(job_id) else None
        if job is None:
            raise not_found(job_id)
        return job

    async def delete(self, job_id: str) -> None:
        """Stop a job before its next step, if it runs, and remove it with its files.

        Raises:
            StorageError, JobsUnavailable: it is cancelled, and perhaps not removed: call it again.
        """
        await self.cancel(job_id)
        until = time.monotonic() + _SETTLING_SECONDS
        while self._worker.is_at_work(job_id) and time.monotonic() < until:
            await asyncio.sleep(0.01)
        await asked(self._store.remove((job_id,)))
        self._worker.sweep.forget(job_id)

    async def drained(self) -> frozenset[str]:
        """Names of the servers that get no new jobs of any process. Raises JobsUnavailable."""
        return await asked(self._store.drained())

    async def set_drained(self, name: str, drained: bool) -> None:
        """Take note of whether a server gets no new jobs. Raises JobsUnavailable."""
        await asked(self._store.set_drained(name, drained))

    async def secret(self, name: str) -> bytes:
        """256 random bits, the same in all processes that share the jobs, at every start. Raises JobsUnavailable."""
        if name not in self._secrets:
            self._secrets[name] = await asked(self._store.secret(name))
        return self._secrets[name]

    async def spent(self, day: int, owner: str | None) -> list[Spent]:
        """See `Spending.since`. Raises JobsUnavailable."""
        return await asked(self._store.spent(day, owner))

    async def page(self, query: JobQuery) -> Page:
        """See `JobTable.page`. Raises as `not_found` where no job is called `query.after`; JobsUnavailable."""
        page = None
        if query.after is None or _ID.fullmatch(query.after):
            page = await asked(self._store.page(query))
        if page is None:
            raise not_found(str(query.after), "after", query.kind)
        return page

    async def file(self, job: Job, part: int = 0) -> StoredFile:
        """A file of a completed job. Raises VideoNotFound: there is none, or no more; StorageError."""
        file = await self._store.file(job, part)
        if file is None:
            raise not_found(job.spec.id)
        return file

    async def listen(self, job_id: str, *, previews: bool = False) -> AsyncGenerator[JobEvent, None]:
        """What happens to a job, see `Broadcast.listen`; of one that does not run here, what its record says, which has
        no previews.

        Raises:
            VideoNotFound: the job is not found or has expired.
        """
        while not (job := await self.get(job_id)).state.is_finished:
            run, next_start = self._worker.runs.get(job_id), self._worker.next_start
            if run is None:
                yield Recorded(job, await self._queue_position(job))
                with suppress(TimeoutError):
                    await asyncio.wait_for(next_start.wait(), _POLL_SECONDS)
                continue
            async with aclosing(run.broadcast.listen(previews=previews)) as events:
                async for event in events:
                    if isinstance(event, Interrupted):
                        break
                    yield event
                    if isinstance(event, Ended):
                        return
        yield Ended(job)

    async def cancel(self, job_id: str) -> None:
        """Stop a job wherever it runs; if here, return when it has stopped. Without effect on one that has ended."""
        if run := self._worker.runs.get(job_id):
            await run.cancel()
            return
        job = await asked(self._store.get(job_id))
        if job is None or job.state.is_finished:
            return
        if await asked(self._store.end(job_id, job.state.cancelled(time.time()))):
            self._metrics.job_ended(job.owner, "cancelled")
            self._waiters.tell(job_id, JobCancelled("the job was cancelled"))

    async def _depart(self, job_id: str, repeats: int, grace_seconds: float) -> None:
        """Cancel a job whose client has left, if nobody else waits for it, nor has come to do so.

        One that is paid for and cannot be stopped goes on: its video can be fetched later.
        """
        await asyncio.sleep(grace_seconds)
        if self._waiters.is_awaited(job_id) or (await self.repeats.latest(job_id) or 0) > repeats:
            return
        job = await self._store.recorded(job_id)
        if job is not None and not job.cannot_stop:
            with suppress(JobsUnavailable):
                await self.cancel(job_id)

    async def _queue_position(self, job: Job) -> int | None:
        if job.state.status != "queued":
            return None
        return await asked(self._store.queued_before(job))

    async def _outcome(self, job_id: str) -> Outcome | None:
        """What a job has come to by its record; None where it has not ended. Raises VideoNotFound, JobsUnavailable."""
        job = await asked(self._store.get(job_id))
        if job is None:
            raise not_found(job_id)
        match job.state.status:
            case "completed":
                files = await self._store.contents(job)
                return not_found(job_id) if files is None else FinishedJob(job, files)
            case "cancelled":
                return JobCancelled("the job was cancelled")
            case "failed":
                error = job.state.error
                return error_of(error.code, error.message, error.field) if error else EngineFailed("the job failed")
        return None


def result_of(outcome: Outcome) -> FinishedJob:
    """The outcome; raised where it is an error."""
    if isinstance(outcome, FinishedJob):
        return outcome
    raise outcome


def not_found(job_id: str, field: str = "video_id", kind: Kind | None = "video") -> FrontendError:
    """The error for a job that is not there: VideoNotFound, ImageNotFound, or JobNotFound where it might be either."""
    return _NOT_FOUND[kind](f"{kind or 'job'} {quoted(job_id, 100)} not found or expired", field)
