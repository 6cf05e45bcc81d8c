"""What the routes know of jobs: submit, wait, get, list, cancel, delete."""

import asyncio
import re
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from typing import Any

import structlog
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from frontend.errors import INTERNAL, EngineFailed, JobCancelled, JobsUnavailable, StorageError, VideoNotFound, error_of
from frontend.jobs.accounting import account
from frontend.jobs.errors import KeyTaken
from frontend.jobs.events import Ended, Interrupted, JobEvent, Recorded
from frontend.jobs.limits import NO_LIMITS, JobLimits
from frontend.jobs.lock import FileLock
from frontend.jobs.patience import PatientRunner
from frontend.jobs.places import Places
from frontend.jobs.queue import JobQueue, Work
from frontend.jobs.repeats import Repeats, asked, unavailable
from frontend.jobs.run import Run, Runner
from frontend.jobs.spec import JobSpec
from frontend.jobs.state import FinishedJob, Job, JobError, JobState
from frontend.jobs.store import JobStore
from frontend.jobs.sweep import Sweep
from frontend.jobs.table import Claim, Counts, Order, Page
from frontend.jobs.waiters import Outcome, Waiters
from frontend.metrics import Metrics
from frontend.storage.storage import StoredFile
from protocol.errors import ModelFailed
from protocol.printable import quoted

BEAT_SECONDS = 1.0
"""how often what runs here is written down, and asked whether it should run at all"""
MAX_ATTEMPTS = 20
"""runs of a job that ended with their process; the job itself may be the reason"""
_POLL_SECONDS = 1.0
_ENTRY_SECONDS = 1.0
"""a job that has begun here is entered in the queue when it is older; until then the sweep alone would find it"""
_PARK_SECONDS = 2.0
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""of a job; PostgreSQL cannot even look for some others"""
_SETTLING_SECONDS = 5.0
"""that a job which is deleted may take to stop"""
_log = structlog.get_logger(__name__)


class JobService:
    """Keeps jobs in `store`, and runs those that come out of the queue, here or in another process on the same URL.

    Args:
        make_queue: the queue that calls its argument for each job.
        executor: name of this process among those that share the queue.
        max_running: jobs that run here at the same time.
        lock: held while jobs run here, where no other process may use the same database.
        is_lone: whether no other process uses it.
        is_stopping: whether the server was told to stop: jobs whose clients are sent away then go on later.
    """

    def __init__(
        self,
        runner: Runner,
        store: JobStore,
        make_queue: Callable[[Work], JobQueue],
        executor: str,
        max_running: int,
        metrics: Metrics,
        *,
        lock: FileLock | None = None,
        is_lone: bool,
        is_stopping: Callable[[], bool],
    ) -> None:
        self.repeats = Repeats(store)
        self._store = store
        self._executor = executor
        self._metrics = metrics
        self._lock = lock
        self._is_lone = is_lone
        self._is_stopping = is_stopping
        self._waiters = Waiters()
        self._runner = PatientRunner(runner, self._waiters.is_awaited)
        self._queue = make_queue(self._work)
        self._working: Counter[str] = Counter()
        """calls that the queue makes for each job now, those that wait for a place too"""
        self._sweep = Sweep(store, self._queue, executor, self._working, is_lone=is_lone)
        self._runs: dict[str, Run] = {}
        self._next_start = asyncio.Event()
        """set when a run begins, for those who listen to a job that waits; each run has another"""
        self._places = Places(max_running)
        self._begun: dict[str, asyncio.Task[None]] = {}
        """jobs that began here when they came, before the queue had them"""
        self._calls: set[asyncio.Task[Any]] = set()
        """that the queue makes, or that `_begun` has, and that end when they are cancelled"""
        self._entries: set[asyncio.Task[None]] = set()
        """jobs on their way into the queue"""
        self._departures: set[asyncio.Task[None]] = set()
        """of clients that may come again"""
        self._secrets: dict[str, bytes] = {}
        self._chores: list[asyncio.Task[None]] = []
        self._parking = asyncio.Event()

    async def open(self) -> None:
        """Continue the jobs that wait.

        Raises:
            JobsError: another process runs them.
            OSError, SQLAlchemyError, or an error of DBOS: the database cannot be used.
        """
        if self._lock is not None:
            self._lock.acquire()
        try:
            await self._store.open()
            await self._say_alive()  # an entry that it takes must not look like a dead process's
            await self._queue.open()
        except BaseException:
            if self._lock is not None:
                self._lock.release()
            raise
        self._chores = [asyncio.create_task(self._beat()), asyncio.create_task(self._sweep.run())]

    async def close(self) -> None:
        """Park the jobs that run: they go on at the next start, or in another process."""
        self._parking.set()
        self._queue.stop()
        await _stop([*self._chores, *self._departures], _PARK_SECONDS)
        await _stop(list(self._calls), _PARK_SECONDS)
        await asyncio.gather(*(run.give_up() for run in list(self._runs.values())))
        if self._entries:
            await asyncio.wait(self._entries, timeout=_PARK_SECONDS)
        try:
            await self._store.leave(self._executor)
        except SQLAlchemyError as error:
            _log.warning("the database of jobs does not answer", reason=str(error))
        await self._queue.close()
        await self._store.close()
        if self._lock is not None:
            self._lock.release()

    @property
    def running(self) -> int:
        """Jobs that run here."""
        return self._places.taken

    async def counts(self, owner: str | None = None) -> Counts:
        """Of the jobs that have not ended, in all processes. Raises JobsUnavailable."""
        return await asked(self._store.counts(owner))

    async def check(self, owner: str | None, limits: JobLimits) -> None:
        """Refuse a create before any work is done for it; `submit` checks again.

        Raises:
            TooManyJobs, QueueFull, JobsUnavailable.
        """
        if limits.max_jobs is not None or self._places.is_full:
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
            JobsUnavailable, StorageError: it could not be kept.
        """
        job = Job(
            spec=spec,
            owner=owner,
            request_hash=request_hash,
            idempotency=idempotency,
            has_image=spec.image is not None,
        )
        submission = asyncio.create_task(self._submit(job, limits))
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
            raise unavailable() from None
        return job

    async def _submit(self, job: Job, limits: JobLimits) -> None:
        has_place = not self._parking.is_set() and self._places.take()
        if has_place:
            job = job.model_copy(update={"fence": 1})
        try:
            kept = await self._store.create(job, limits)
        except BaseException:
            if has_place:
                self._places.release()
            raise
        if kept.fence:
            self._begin(kept)
        elif has_place:  # others come first, on their way out of the queue
            self._places.release()
        # Nobody waits for the queue: from now on the record is what counts, and the sweep looks after it.
        entry = asyncio.create_task(self._enter(job.spec.id, kept.turn))
        self._entries.add(entry)
        entry.add_done_callback(self._entries.discard)

    async def wait(
        self, job_id: str, *, repeats: int = 0, grace: Callable[[], float] | None = None, stops: bool = True
    ) -> FinishedJob:
        """The job when it is completed. Cancelling this cancels the job, unless the server is stopping, or another
        client waits for it.

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
        while (job_id in self._begun or self._working[job_id]) and time.monotonic() < until:
            await asyncio.sleep(0.01)
        await asked(self._store.remove((job_id,)))
        self._sweep.forget(job_id)

    async def secret(self, name: str) -> bytes:
        """256 random bits, the same in all processes that share the jobs, at every start. Raises JobsUnavailable."""
        if name not in self._secrets:
            self._secrets[name] = await asked(self._store.secret(name))
        return self._secrets[name]

    async def page(self, kind: str, *, owner: str | None, after: str | None, limit: int, order: Order) -> Page:
        """See `JobTable.page`. Raises VideoNotFound where no job is called `after`; JobsUnavailable."""
        if after is not None and not _ID.fullmatch(after):
            raise not_found(after, "after")
        page = await asked(self._store.page(kind, owner=owner, after=after, limit=limit, order=order))
        if page is None:
            raise not_found(str(after), "after")
        return page

    async def file(self, job: Job, part: int = 0) -> StoredFile:
        """A file of a completed job. Raises VideoNotFound: there is none, or no more; StorageError."""
        file = await self._store.file(job, part)
        if file is None:
            raise not_found(job.spec.id)
        return file

    async def listen(self, job_id: str) -> AsyncGenerator[JobEvent, None]:
        """What happens to a job, see `Broadcast.listen`; of one that does not run here, what its record says.

        Raises:
            VideoNotFound: the job is not found or has expired.
        """
        while not (job := await self.get(job_id)).state.is_finished:
            run, next_start = self._runs.get(job_id), self._next_start
            if run is None:
                yield Recorded(job, await self._queue_position(job))
                with suppress(TimeoutError):
                    await asyncio.wait_for(next_start.wait(), _POLL_SECONDS)
                continue
            async with aclosing(run.broadcast.listen()) as events:
                async for event in events:
                    if isinstance(event, Interrupted):
                        break
                    yield event
                    if isinstance(event, Ended):
                        return
        yield Ended(job)

    async def cancel(self, job_id: str) -> None:
        """Stop a job wherever it runs; if here, return when it has stopped. Without effect on one that has ended."""
        if run := self._runs.get(job_id):
            await run.cancel()
            return
        job = await asked(self._store.get(job_id))
        if job is None or job.state.is_finished:
            return
        if await asked(self._store.end(job_id, job.state.cancelled(time.time()))):
            self._metrics.job_ended(job.owner, "cancelled")
            self._waiters.tell(job_id, JobCancelled("the job was cancelled"))

    async def _depart(self, job_id: str, repeats: int, grace_seconds: float) -> None:
        """Cancel a job whose client has left, if nobody else waits for it, nor has come to do so."""
        await asyncio.sleep(grace_seconds)
        if self._waiters.is_awaited(job_id) or (await self.repeats.latest(job_id) or 0) > repeats:
            return
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

    def _begin(self, job: Job) -> None:
        """Run a new job in the place that was taken for it."""

        def end(call: asyncio.Task[None]) -> None:
            self._places.release()
            del self._begun[job.spec.id]
            self._calls.discard(call)

        run = self._start(Claim(job, attempts=1, has_image=job.spec.image is not None))
        call = self._begun[job.spec.id] = asyncio.create_task(self._follow(job, run))
        self._calls.add(call)
        call.add_done_callback(end)

    async def _enter(self, job_id: str, turn: int) -> None:
        """Put a job into the queue, if it has begun only where it does not end soon."""
        call = self._begun.get(job_id)
        try:
            if call is None:
                await self._queue.put(job_id, turn)
                return
            await self._ended_or_parked(call)
            if not call.done():
                await self._queue.begin(job_id)
            elif call.cancelled():
                await self._queue.put(job_id, turn)
        except Exception as error:  # of DBOS, or of the database
            _log.warning("a job is kept, and queued by the next sweep", job=job_id, reason=str(error))

    async def _ended_or_parked(self, call: asyncio.Task[None]) -> None:
        parking = asyncio.create_task(self._parking.wait())
        await asyncio.wait((call, parking), timeout=_ENTRY_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        parking.cancel()
        if self._parking.is_set():
            await asyncio.wait((call,))

    # Called by the queue

    async def _work(self, job_id: str) -> None:
        """Run a job to its end. Raises CancelledError where it has to go on later."""
        call = asyncio.current_task()
        assert call is not None
        self._calls.add(call)
        self._working[job_id] += 1
        try:
            if self._parking.is_set():
                raise asyncio.CancelledError
            if begun := self._begun.get(job_id):
                await asyncio.shield(begun)
                return
            await self._places.acquire(await self._store.turn(job_id))
            try:
                await self._claim_and_run(job_id)
            finally:
                self._places.release()
        finally:
            self._calls.discard(call)
            self._working -= Counter((job_id,))  # which drops what is zero

    async def _claim_and_run(self, job_id: str) -> None:
        try:
            claim = await self._store.claim(job_id)
        except ValueError as error:
            await self._refuse(job_id, error)
        except StorageError as error:
            _log.warning("a job waits for the next sweep", job=job_id, reason=error.message)
        else:
            if claim is not None:
                await self._follow(claim.job, self._start(claim))

    def _start(self, claim: Claim) -> Run:
        runner = self._runner if claim.attempts <= MAX_ATTEMPTS else _Refusal(claim.attempts - 1)
        run = self._runs[claim.job.spec.id] = Run(claim.job, runner, self._store)
        self._next_start.set()
        self._next_start = asyncio.Event()
        return run

    async def _follow(self, job: Job, run: Run) -> None:
        """Wait for the end of a run. Cancelling this gives it up."""
        job_id = job.spec.id
        waited_seconds = time.time() - job.spec.created_at
        try:
            await asyncio.shield(run.ended)
        except asyncio.CancelledError:
            await run.give_up()
            raise
        finally:
            if self._runs.get(job_id) is run:
                del self._runs[job_id]
            if run.outcome is None:
                await self._store.release(job)
        if run.outcome is not None:
            account(self._metrics, job, run.outcome, waited_seconds)
            self._waiters.tell(job_id, run.outcome)

    async def _refuse(self, job_id: str, reason: Exception) -> None:
        """Fail a job whose record cannot be read."""
        _log.error("a job cannot be read", job=job_id, exc_info=reason)
        error = JobError(code=INTERNAL.code, message="The job cannot be read: the server's log says why.")
        await self._store.end(job_id, JobState().failed(error, time.time()))

    async def _say_alive(self) -> None:
        if not self._is_lone:  # nobody else asks
            await self._store.beat(self._executor)

    async def _beat(self) -> None:
        """Say that this process lives, and stop what runs here and should not."""
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            try:
                await self._say_alive()
                lost = await self._store.flush()
            except SQLAlchemyError as error:
                _log.warning("the database of jobs does not answer", reason=str(error))
                continue
            await asyncio.gather(*(self._runs[job_id].give_up() for job_id in lost if job_id in self._runs))


class _Refusal:
    """Fails a job that has been begun too often."""

    def __init__(self, attempts: int) -> None:
        self._attempts = attempts

    async def run(self, *_: object) -> Any:
        raise ModelFailed(f"the job was begun {self._attempts} times, and the server ended during each of them")


def result_of(outcome: Outcome) -> FinishedJob:
    """The outcome; raised where it is an error."""
    if isinstance(outcome, FinishedJob):
        return outcome
    raise outcome


def not_found(job_id: str, field: str = "video_id") -> VideoNotFound:
    """The error for a job that is not there."""
    return VideoNotFound(f"video {quoted(job_id, 100)} not found or expired", field)


async def _stop(tasks: list[asyncio.Task[Any]], seconds: float) -> None:
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=seconds)
