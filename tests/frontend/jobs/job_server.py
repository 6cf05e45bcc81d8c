"""A job service of the tests', which can be started again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

from frontend.jobs.events import JobEvent
from frontend.jobs.opening import open_jobs
from frontend.jobs.runner import JobRunner
from frontend.jobs.service import JobService
from frontend.jobs.spec import JobSpec
from frontend.metrics import Metrics
from frontend.settings import Settings
from frontend.storage.local_folder import LocalFolder
from tests.frontend.fake_generator import FakeGenerator
from tests.frontend.jobs.specs import video_spec
from tests.waiting import SECONDS


class JobServer:
    """What a restart leaves, and what it does not. Jobs are in memory if `url` is None."""

    def __init__(self, url: str | None, folder: Path) -> None:
        self.settings = Settings(jobs=url)
        self.generator = FakeGenerator()
        self.is_stopping = False
        self.storage = LocalFolder(folder)

    @asynccontextmanager
    async def started(self) -> AsyncIterator[JobService]:
        jobs = self.service()
        await jobs.open()
        try:
            yield jobs
        finally:
            await jobs.close()

    def service(self) -> JobService:
        metrics = Metrics()
        runner = JobRunner(self.generator, metrics, timeout_seconds=60, checkpoint_seconds=1)
        return open_jobs(self.settings, runner, self.storage, metrics, lambda: self.is_stopping)

    def files(self) -> list[str]:
        """What is stored: `JOB/PART-KIND`."""
        keys = (str(path.relative_to(self.storage.folder)) for path in self.storage.folder.glob("[!.]*/*"))
        return sorted("-".join(key.split("-")[:2]) for key in keys)


def named(job_id: str = "video_1", **changes: Any) -> JobSpec:
    """A video whose request has its id."""
    return video_spec(job_id=job_id, request_id=job_id, **changes)


async def heard(jobs: JobService, job_id: str = "video_1") -> list[JobEvent]:
    """The events of a job until its end."""
    async with asyncio.timeout(SECONDS), aclosing(jobs.listen(job_id)) as events:
        return [event async for event in events]
