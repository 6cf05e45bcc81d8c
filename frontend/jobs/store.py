"""Where jobs and their files are kept."""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

from frontend.jobs.state import Job


class JobLost(Exception):
    """The job was cancelled, or another run of it has begun: this one has nothing to say any more."""


class RunStore(Protocol):
    """What a job that runs needs of the place where it is kept."""

    async def update(self, job: Job) -> None:
        """Keep what has changed of a job that runs."""
        ...

    async def finish(self, job: Job, files: tuple[bytes, ...]) -> Job:
        """Keep a finished job and its files, of which there are none unless it is completed.

        Returns:
            The job as it is kept, with its expiry.

        Raises:
            JobLost: nothing was kept.
        """
        ...


class JobStore(RunStore, Protocol):
    """Keeps jobs: running ones until they end, finished ones as long as it has room and time for them."""

    async def create(self, job: Job) -> None:
        """Keep a new job."""
        ...

    async def get(self, job_id: str) -> Job | None:
        """None where it is not found or has expired."""
        ...

    async def content(self, job_id: str) -> bytes | None:
        """The first file of a completed job; None where it is not found or has expired."""
        ...


class MemoryJobStore:
    """Keeps jobs in this process.

    Of finished jobs those whose spec says so, if completed: the newest whose first files fit into `max_bytes`, each
    for `max_age_seconds` at most. The others are forgotten: whoever waited for them has had the answer.
    """

    def __init__(self, max_bytes: int, max_age_seconds: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_bytes = max_bytes
        self._max_age_seconds = max_age_seconds
        self._clock = clock
        self._running: dict[str, Job] = {}
        self._kept: OrderedDict[str, tuple[float, Job, bytes]] = OrderedDict()
        """by id, the oldest first, with the time at which each came"""
        self._bytes = 0

    async def create(self, job: Job) -> None:
        self._running[job.spec.id] = job

    async def update(self, job: Job) -> None:
        self._running[job.spec.id] = job

    async def finish(self, job: Job, files: tuple[bytes, ...]) -> Job:
        self._running.pop(job.spec.id, None)
        if not (job.spec.keep and files and job.state.finished_at):
            return job
        expiry = {"expires_at": job.state.finished_at + self._max_age_seconds}
        job = job.with_state(job.state.model_copy(update=expiry))
        # Nobody asks for the image that it started from any more, and that would be megabytes beside the file.
        kept = job.model_copy(update={"spec": job.spec.model_copy(update={"image": None})})
        self._kept[job.spec.id] = self._clock(), kept, files[0]
        self._bytes += len(files[0])
        self._drop_old()
        return job

    async def get(self, job_id: str) -> Job | None:
        if job_id in self._running:
            return self._running[job_id]
        self._drop_old()
        return self._kept[job_id][1] if job_id in self._kept else None

    async def content(self, job_id: str) -> bytes | None:
        self._drop_old()
        return self._kept[job_id][2] if job_id in self._kept else None

    def _drop_old(self) -> None:
        while self._kept:
            added, _, file = next(iter(self._kept.values()))
            if self._bytes <= self._max_bytes and self._clock() - added <= self._max_age_seconds:
                return
            self._kept.popitem(last=False)
            self._bytes -= len(file)
