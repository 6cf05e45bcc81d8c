"""What runs jobs in this process: those that come out of the queue, and those that begin here at once."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import structlog
from sqlalchemy.exc import SQLAlchemyError

from frontend.error_rules import INTERNAL
from frontend.errors import StorageError
from frontend.jobs.accounting import account
from frontend.jobs.limits import JobLimits
from frontend.jobs.patience import PatientRunner
from frontend.jobs.places import Places
from frontend.jobs.queue import JobQueue, Work, enqueue
from frontend.jobs.run import Run, Runner
from frontend.jobs.state import Job, JobError, JobState
from frontend.jobs.store import JobStore
from frontend.jobs.sweep import Sweep
from frontend.jobs.table import Claim
from frontend.jobs.waiters import Waiters
from frontend.metrics import Metrics
from protocol.errors import ModelFailed

BEAT_SECONDS = 1.0
"""how often what runs here is written down, and asked whether it should run at all"""
MAX_ATTEMPTS = 20
"""runs of a job that ended with their process; the job itself may be the reason"""
_ENTRY_SECONDS = 1.0
"""a job that has begun here is entered in the queue when it is older; until then the sweep alone would find it"""
_PARK_SECONDS = 2.0
_log = structlog.get_logger(__name__)


class JobWorker:
    """Runs the jobs of `store`, in places that they get in the order of their turns.

    Args:
        make_queue: the queue that calls its argument for each job.
        executor: name of this process among those that share the queue.
        max_running: jobs that run here at the same time.
        max_hosted: the same of those that hosted providers make.
        is_lone: whether no other process shares the queue.
    """

    def __init__(
        self,
        runner: Runner,
        store: JobStore,
        make_queue: Callable[[Work], JobQueue],
        executor: str,
        max_running: int,
        max_hosted: int,
        metrics: Metrics,
        *,
        is_lone: bool,
    ) -> None:
        self.runs: dict[str, Run] = {}
        """of the jobs that run here"""
        self.next_start = asyncio.Event()
        """set when a run begins, for those who listen to a job that waits; each run has another"""
        self.places = Places(max_running)
        self.hosted_places = Places(max_hosted)
        self.waiters = Waiters()
        """told what each job has come to"""
        self.queue = make_queue(self._work)
        self._store = store
        self._executor = executor
        self._metrics = metrics
        self._is_lone = is_lone
        self._runner = PatientRunner(runner, self.waiters.is_awaited)
        self._working: Counter[str] = Counter()
        """calls that the queue makes for each job now, those that wait for a place too"""
        self.sweep = Sweep(store, self.queue, executor, self._working, is_lone=is_lone)
        self._begun: dict[str, asyncio.Task[None]] = {}
        """jobs that began here when they came, before the queue had them"""
        self._calls: set[asyncio.Task[Any]] = set()
        """that the queue makes, or that `_begun` has, and that end when they are cancelled"""
        self._entries: set[asyncio.Task[None]] = set()
        """jobs on their way into the queue"""
        self._chores: list[asyncio.Task[None]] = []
        self._parking = asyncio.Event()

    async def open(self) -> None:
        """Continue the jobs that wait. Raises SQLAlchemyError, or an error of DBOS."""
        await self._say_alive()  # an entry that it takes must not look like a dead process's
        await self.queue.open()
        self._chores = [asyncio.create_task(self._beat()), asyncio.create_task(self.sweep.run())]

    async def close(self) -> None:
        """Park the jobs that run: they go on at the next start, or in another process."""
        self._parking.set()
        self.queue.stop()
        await stop(self._chores, _PARK_SECONDS)
        await stop(list(self._calls), _PARK_SECONDS)
        await asyncio.gather(*(run.give_up() for run in list(self.runs.values())))
        if self._entries:
            await asyncio.wait(self._entries, timeout=_PARK_SECONDS)
        try:
            await self._store.leave(self._executor)
        except SQLAlchemyError as error:
            _log.warning("the database of jobs does not answer", reason=str(error))
        await self.queue.close()

    async def add(self, job: Job, limits: JobLimits) -> None:
        """Keep a new job, and have it run: at once and here where there is room. It is safe on return.

        Raises:
            TooManyJobs, QueueFull, SQLAlchemyError, StorageError: see `JobStore.create`.
        """
        places = self._places_of(job)
        has_place = not self._parking.is_set() and places.take()
        if has_place:
            job = job.model_copy(update={"fence": 1})
        try:
            kept = await self._store.create(job, limits)
        except BaseException:
            if has_place:
                places.release()
            raise
        if kept.fence:
            self._begin(kept)
        elif has_place:  # others come first, on their way out of the queue
            places.release()
        # Nobody waits for the queue: from now on the record is what counts, and the sweep looks after it.
        entry = asyncio.create_task(self._enter(kept))
        self._entries.add(entry)
        entry.add_done_callback(self._entries.discard)

    def is_at_work(self, job_id: str) -> bool:
        """Whether the job runs here, or waits for a place."""
        return job_id in self._begun or self._working[job_id] > 0

    def _begin(self, job: Job) -> None:
        """Run a new job in the place that was taken for it."""

        def end(call: asyncio.Task[None]) -> None:
            self._places_of(job).release()
            del self._begun[job.spec.id]
            self._calls.discard(call)

        run = self._start(Claim(job, attempts=1))
        call = self._begun[job.spec.id] = asyncio.create_task(self._follow(job, run))
        self._calls.add(call)
        call.add_done_callback(end)

    def _places_of(self, job: Job) -> Places:
        return self.hosted_places if job.spec.is_hosted else self.places

    async def _enter(self, job: Job) -> None:
        """Put a job into the queue, if it has begun only where it does not end soon."""
        job_id = job.spec.id
        call = self._begun.get(job_id)
        try:
            if call is None:
                await enqueue(self.queue, job)
                return
            await self._ended_or_parked(call)
            if not call.done():
                await self.queue.begin(job_id)
            elif call.cancelled():
                await enqueue(self.queue, job)
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
            job = await self._store.recorded(job_id)
            if job is None:
                return
            places = self._places_of(job)
            await places.acquire((job.turn, round(job.spec.created_at * 1e6), job_id))
            try:
                await self._claim_and_run(job_id)
            finally:
                places.release()
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
        run = self.runs[claim.job.spec.id] = Run(claim.job, runner, self._store)
        self.next_start.set()
        self.next_start = asyncio.Event()
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
            if self.runs.get(job_id) is run:
                del self.runs[job_id]
            if run.outcome is None:
                await self._store.release(job)
                await self._charge(job, run)
        if run.outcome is not None:
            account(self._metrics, job, run.outcome, waited_seconds, run.storing_seconds)
            self.waiters.tell(job_id, run.outcome)
            await self._charge(job, run)

    async def _charge(self, job: Job, run: Run) -> None:
        """Take note of how long a run was at work here for its API key."""
        if job.owner is not None and run.seconds and not job.spec.is_hosted:
            self._metrics.key_ran(job.owner, run.seconds)
            await self._store.add_seconds(job.owner, run.seconds)

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
            await asyncio.gather(*(self.runs[job_id].give_up() for job_id in lost if job_id in self.runs))


class _Refusal:
    """Fails a job that has been begun too often."""

    def __init__(self, attempts: int) -> None:
        self._attempts = attempts

    async def run(self, *_: object) -> Any:
        raise ModelFailed(f"the job was begun {self._attempts} times, and the server ended during each of them")


async def stop(tasks: list[asyncio.Task[Any]], seconds: float) -> None:
    """Cancel tasks, and wait for their ends, for so long."""
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=seconds)
