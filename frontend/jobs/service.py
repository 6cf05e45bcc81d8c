"""What the routes know of jobs: submit, wait, get, content."""

import asyncio
from collections.abc import AsyncGenerator

from frontend.errors import VideoNotFound
from frontend.jobs.events import Ended, JobEvent
from frontend.jobs.run import Run, Runner
from frontend.jobs.spec import JobSpec
from frontend.jobs.state import FinishedJob, Job
from frontend.jobs.store import JobStore
from protocol.printable import quoted


class JobService:
    """Runs jobs in this process, all at once, and keeps them in `store`. Those that run end with the process."""

    def __init__(self, runner: Runner, store: JobStore) -> None:
        self._runner = runner
        self._store = store
        self._runs: dict[str, Run] = {}
        """the jobs that run here, by id"""

    async def open(self) -> None:
        """Get ready for jobs."""

    async def submit(self, spec: JobSpec, *, owner: str | None = None, request_hash: str | None = None) -> None:
        """Start a job. `owner` and `request_hash`: see `Job`."""
        job = Job(spec=spec, owner=owner, request_hash=request_hash)
        await self._store.create(job)
        run = self._runs[spec.id] = Run(job, self._runner, self._store)
        run.ended.add_done_callback(lambda _: self._runs.pop(spec.id))

    async def wait(self, job_id: str) -> FinishedJob:
        """The job when it is completed. Cancelling this cancels the job: nobody else waits for its result.

        Raises:
            VideoNotFound: the job is not found or has expired.
            PipelineError, EngineUnavailable, EngineFailed: as the job failed.
        """
        run = self._runs.get(job_id)
        if run is None:
            return FinishedJob(await self.get(job_id), (await self.content(job_id),))
        try:
            await asyncio.shield(run.ended)
        except asyncio.CancelledError:
            await run.cancel()
            raise
        return result_of(run.outcome)

    async def get(self, job_id: str) -> Job:
        """Raises VideoNotFound: the job is not found or has expired."""
        job = await self._store.get(job_id)
        if job is None:
            raise not_found(job_id)
        return job

    async def content(self, job_id: str) -> bytes:
        """The first file of a completed job. Raises VideoNotFound: it is not found or has expired."""
        content = await self._store.content(job_id)
        if content is None:
            raise not_found(job_id)
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


def result_of(outcome: FinishedJob | Exception | None) -> FinishedJob:
    """What `Run.outcome` says; raised where it is an error."""
    if isinstance(outcome, FinishedJob):
        return outcome
    raise outcome or RuntimeError("a job has ended without an outcome")


def not_found(job_id: str) -> VideoNotFound:
    return VideoNotFound(f"video {quoted(job_id, 100)} not found or expired", "video_id")
