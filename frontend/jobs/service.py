"""What the routes know of jobs: submit, wait, get, content."""

import asyncio
import time
from collections.abc import AsyncGenerator

from frontend.errors import INTERNAL, VideoNotFound, internal_message, rule_of
from frontend.generators.generator import Frames
from frontend.jobs.events import Broadcast, Ended, JobEvent, PartEvent, Queued
from frontend.jobs.runner import JobRunner
from frontend.jobs.spec import JobSpec
from frontend.jobs.state import FinishedJob, Job, JobError, percent_done
from frontend.jobs.store import JobStore
from frontend.storage.storage import Storage, StoredFile
from protocol.errors import Cancelled
from protocol.events import Progress
from protocol.printable import quoted


class JobService:
    """Runs jobs and keeps them in `store`, which has their files in `storage`."""

    def __init__(self, runner: JobRunner, store: JobStore, storage: Storage) -> None:
        self._runner = runner
        self._store = store
        self._storage = storage
        self._runs: dict[str, _Run] = {}
        """the jobs that run here, by id"""

    async def submit(self, spec: JobSpec) -> None:
        """Start a job."""
        job = Job(spec=spec)
        await self._store.create(job)
        run = self._runs[spec.id] = _Run(job, self._runner, self._store)
        run.ended.add_done_callback(lambda _: self._runs.pop(spec.id))

    async def wait(self, job_id: str) -> FinishedJob:
        """The job when it is completed. Cancelling this cancels the job: nobody else waits for its result.

        Raises:
            VideoNotFound: the job is not found or has expired.
            PipelineError, EngineUnavailable, EngineFailed, StorageError: as the job failed.
        """
        run = self._runs.get(job_id)
        if run is None:
            chunks = await self._storage.read(await self.content(job_id))
            return FinishedJob(await self.get(job_id), (b"".join([chunk async for chunk in chunks]),))
        return await run.wait()

    async def get(self, job_id: str) -> Job:
        """Raises VideoNotFound: the job is not found or has expired."""
        job = await self._store.get(job_id)
        if job is None:
            raise _not_found(job_id)
        return job

    async def content(self, job_id: str) -> StoredFile:
        """The first file of a completed job. Raises VideoNotFound: it is not found or has expired."""
        content = await self._store.content(job_id)
        if content is None:
            raise _not_found(job_id)
        return content

    async def listen(self, job_id: str) -> AsyncGenerator[JobEvent, None]:
        """What happens to a job, see `Broadcast.listen`. Raises VideoNotFound."""
        run = self._runs.get(job_id)
        if run is None:
            yield Ended(await self.get(job_id))
            return
        async for event in run.broadcast.listen():
            yield event

    async def cancel(self, job_id: str) -> None:
        """Stop a job, and return when it has stopped. Without effect on one that has finished."""
        if run := self._runs.get(job_id):
            await run.cancel()

    async def close(self) -> None:
        """Stop all jobs."""
        await asyncio.gather(*(run.cancel() for run in list(self._runs.values())))


class _Run:
    """A job that runs in this process: tells its state to the store, and its events to listeners."""

    def __init__(self, job: Job, runner: JobRunner, store: JobStore) -> None:
        self.broadcast = Broadcast()
        self._job = job
        self._store = store
        self._progress: dict[int, Progress] = {}
        self._outcome: FinishedJob | Exception | None = None
        self.broadcast.publish(Queued())
        self._work = asyncio.create_task(self._make(runner))
        # A task of its own, which nobody cancels: a job that is stopped before it began has to end too.
        self.ended = asyncio.create_task(self._follow())

    async def wait(self) -> FinishedJob:
        """See `JobService.wait`."""
        try:
            await asyncio.shield(self.ended)
        except asyncio.CancelledError:
            await self.cancel()
            raise
        if isinstance(self._outcome, FinishedJob):
            return self._outcome
        raise self._outcome or RuntimeError("a job has ended without an outcome")

    async def cancel(self) -> None:
        """See `JobService.cancel`."""
        self._work.cancel()
        await asyncio.wait((self.ended,))

    async def _hear(self, event: PartEvent) -> None:
        self.broadcast.publish(event)
        if isinstance(event.event, Frames):
            return  # `Progress` counts them too
        self._progress[event.part] = event.event
        if event.event.steps_done == 0:
            return  # said while it waits in the generator's queue, too
        percent = percent_done(self._progress.values(), len(self._job.spec.samples))
        state = self._job.state.advanced(percent, time.time())
        if state != self._job.state:
            self._job = self._job.with_state(state)
            await self._store.update(self._job)

    async def _make(self, runner: JobRunner) -> FinishedJob:
        """The job as it is kept, and its files."""
        made = await runner.run(self._job.spec, self._hear)
        files = tuple(file for file, _ in made)
        outputs = tuple(output for _, output in made)
        completed = self._job.state.completed(time.time())
        job = self._job.model_copy(update={"state": completed, "outputs": outputs})
        return FinishedJob(await self._store.finish(job, files), files)

    async def _follow(self) -> None:
        """Wait for the job's end, and tell it."""
        try:
            self._outcome = finished = await self._work
        except asyncio.CancelledError:
            await self._end(self._job.with_state(self._job.state.cancelled(time.time())))
            self._outcome = Cancelled("the job was cancelled")
        except Exception as error:
            failed = self._job.state.failed(_told(error, self._job.spec), time.time())
            await self._end(self._job.with_state(failed))
            self._outcome = error
        else:
            self.broadcast.publish(Ended(finished.job))

    async def _end(self, job: Job) -> None:
        """Keep a job that was not completed, and tell the listeners."""
        try:
            await self._store.finish(job, ())
        finally:
            self.broadcast.publish(Ended(job))


def _told(error: Exception, spec: JobSpec) -> JobError:
    """What the client is told of `error`; of a fault of ours no more than where to find it."""
    rule = rule_of(error)
    if rule is INTERNAL:
        return JobError(code=rule.code, message=internal_message(spec.request_id))
    message = getattr(error, "message", str(error))
    return JobError(code=rule.code, message=message, field=getattr(error, "field", None))


def _not_found(job_id: str) -> VideoNotFound:
    return VideoNotFound(f"video {quoted(job_id, 100)} not found or expired", "video_id")
