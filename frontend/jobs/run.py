"""A job that runs in this process."""

import asyncio
import time
from dataclasses import replace
from typing import Protocol

from frontend.error_rules import INTERNAL, internal_message, rule_of
from frontend.errors import JobCancelled
from frontend.jobs.events import Broadcast, Ended, Interrupted, PartEvent, PartPreview, Queued
from frontend.jobs.pace import Pace
from frontend.jobs.record import RunRecord
from frontend.jobs.runner import Tell
from frontend.jobs.spec import JobSpec
from frontend.jobs.state import FinishedJob, Job, JobError, Output, fraction_done
from protocol.events import Progress
from tracing.spans import begin, fail, within


class Runner(Protocol):
    """Makes what a job asks for; `JobRunner` is one."""

    async def run(self, spec: JobSpec, tell: Tell, record: RunRecord) -> list[tuple[bytes, Output]]:
        """See `JobRunner.run`."""
        ...


class JobLost(Exception):
    """The job was cancelled, or another run of it has begun: this one has nothing to say any more."""


class RunStore(Protocol):
    """What a job that runs needs of the place where it is kept."""

    def record(self, job: Job) -> RunRecord:
        """Of a run of a job."""
        ...

    async def update(self, job: Job) -> None:
        """Keep what has changed of a job that runs."""
        ...

    async def finish(self, job: Job, files: tuple[bytes, ...]) -> Job:
        """Keep a finished job and its files, of which there are none unless it is completed.

        Returns:
            The job as it is kept, with its expiry.

        Raises:
            JobLost: nothing was kept.
            StorageError: its files cannot be kept; it still runs, as before.
        """
        ...


class Run:
    """Tells a job's state to the store, and its events to listeners. Begins at once."""

    def __init__(self, job: Job, runner: Runner, store: RunStore) -> None:
        self.broadcast = Broadcast()
        self.outcome: FinishedJob | Exception | None = None
        """of a run that has ended; None of one that was given up, whose job another run ends"""
        self.seconds = 0.0
        """for which it was at work, not waiting in the generator's queue; known at its end"""
        self.storing_seconds = 0.0
        """that it took to keep what a completed job has made"""
        self._began: float | None = None
        self._job = job
        self._store = store
        self._progress: dict[int, Progress] = {}
        self._pace = Pace()
        self._given_up = False
        self.broadcast.publish(Queued())
        self._record = store.record(job)
        spec = job.spec
        about: dict[str, str | int] = {"job_id": spec.id, "model": spec.model, "parts": len(spec.samples)}
        if job.fence == 1:
            begin("waiting", about, parent=spec.trace, since=spec.created_at).end()
        self._span = begin("job", about | {"run": job.fence}, parent=spec.trace)
        with within(self._span):
            self._work = asyncio.create_task(runner.run(spec, self._hear, self._record))
            # A task of its own, which nobody cancels: a job that is stopped before it began has to end too.
            self.ended = asyncio.create_task(self._follow())

    async def cancel(self) -> None:
        """Stop the job, and return when it has stopped. Without effect on one that has ended."""
        self._work.cancel()
        await asyncio.wait((self.ended,))

    async def give_up(self) -> None:
        """Stop working, and leave the job as it is kept, for another run."""
        self._given_up = self._record.is_given_up = True
        await self.cancel()

    async def _hear(self, event: PartEvent | PartPreview) -> None:
        if isinstance(event, PartPreview):
            self.broadcast.publish(event)
            return
        self._progress[event.part] = event.progress
        if self._began is None and event.progress.queue_position is None:
            self._began = time.monotonic()
        fraction = fraction_done(self._progress.values(), len(self._job.spec.samples))
        self.broadcast.publish(replace(event, seconds_left=self._pace.seconds_left(fraction, time.monotonic())))
        if event.progress.steps_done == 0:
            return  # said while it waits in the generator's queue, too
        state = self._job.state.advanced(int(100 * fraction), time.time())
        if state != self._job.state:
            self._job = self._job.with_state(state)
            await self._store.update(self._job)

    async def _follow(self) -> None:
        """Wait for the job's end, and tell it."""
        try:
            self.outcome = await self._end()
        except JobLost:
            pass  # without an outcome, as one that was given up
        finally:
            self._end_span()
        if self._began is not None:
            self.seconds = time.monotonic() - self._began
        await self._record.checkpoints.close()
        if self.outcome is None:
            self.broadcast.publish(Interrupted())
        else:  # also where it is given up as lost meanwhile, since its row has ended
            await self._record.checkpoints.remove()

    def _end_span(self) -> None:
        match self.outcome:
            case None:
                self._span.add_event("interrupted")
            case JobCancelled():
                self._span.add_event("cancelled")
            case Exception() as error:
                fail(self._span, error)
        self._span.end()

    async def _end(self) -> FinishedJob | Exception | None:
        try:
            made = await self._work
            return await self._complete(made)
        except asyncio.CancelledError:
            if self._given_up:
                return None
            await self._keep(self._job.with_state(self._job.state.cancelled(time.time())))
            return JobCancelled("the job was cancelled")
        except JobLost:
            raise
        except Exception as error:
            failed = self._job.state.failed(_told(error, self._job.spec), time.time())
            await self._keep(self._job.with_state(failed))
            return error

    async def _complete(self, made: list[tuple[bytes, Output]]) -> FinishedJob:
        files = tuple(file for file, _ in made)
        outputs = tuple(output for _, output in made)
        state = self._job.state.completed(time.time())
        began = time.monotonic()
        kept = await self._keep(self._job.model_copy(update={"state": state, "outputs": outputs}), files)
        self.storing_seconds = time.monotonic() - began
        return FinishedJob(kept, files)

    async def _keep(self, job: Job, files: tuple[bytes, ...] = ()) -> Job:
        """Keep the finished job, and tell the listeners. The job as it is kept."""
        job = await self._store.finish(job, files)
        self.broadcast.publish(Ended(job))
        return job


def _told(error: Exception, spec: JobSpec) -> JobError:
    """What the client is told of `error`; of a fault of ours no more than where to find it."""
    rule = rule_of(error)
    if rule is INTERNAL:
        return JobError(code=rule.code, message=internal_message(spec.request_id))
    message = getattr(error, "message", str(error))
    return JobError(code=rule.code, message=message, field=getattr(error, "field", None))
