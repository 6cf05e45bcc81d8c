"""How far a job is.

queued ──> in_progress ──> completed
   │            ├────────> failed
   └────────────┴────────> cancelled        (a job can also fail, or complete, before a step of it was reported)
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from frontend.jobs.spec import JobSpec
from protocol.events import Done, Progress

JobStatus = Literal["queued", "in_progress", "completed", "failed", "cancelled"]

_DENOISING_SHARE = 0.9
"""of a part's time; the rest goes into decoding"""


class JobError(BaseModel):
    """Why a job failed, as its client is told."""

    model_config = ConfigDict(frozen=True)

    code: str
    message: str
    field: str | None = None


class JobState(BaseModel):
    """Immutable: each change makes a new one. A finished job does not change any more: ValueError."""

    model_config = ConfigDict(frozen=True)

    status: JobStatus = "queued"
    progress: int = Field(0, ge=0, le=100)
    """per cent; 100 only when completed"""
    started_at: float | None = None
    """unix time at which a step was first reported; until then the job may wait in the generator's queue"""
    finished_at: float | None = None
    expires_at: float | None = None
    """until when the result is kept, where it is"""
    error: JobError | None = None

    @property
    def is_finished(self) -> bool:
        return self.status in ("completed", "failed", "cancelled")

    def advanced(self, progress: int, now: float) -> "JobState":
        """A step or a frame was done. Progress never goes back."""
        progress = max(self.progress, min(progress, 99))
        return self._changed(status="in_progress", progress=progress, started_at=self.started_at or now)

    def completed(self, now: float) -> "JobState":
        return self._changed(status="completed", progress=100, finished_at=now)

    def failed(self, error: JobError, now: float) -> "JobState":
        return self._changed(status="failed", error=error, finished_at=now)

    def cancelled(self, now: float) -> "JobState":
        return self._changed(status="cancelled", finished_at=now)

    def _changed(self, **changes: Any) -> "JobState":
        if self.is_finished:
            raise ValueError(f"a job that is {self.status} cannot become {changes['status']}")
        return self.model_copy(update=changes)


class Output(BaseModel):
    """What is known of one finished video or image."""

    model_config = ConfigDict(frozen=True)

    report: Done
    """the generator's"""
    encode_seconds: float


class Job(BaseModel):
    """A job as it is stored: everything but its files."""

    model_config = ConfigDict(frozen=True)

    spec: JobSpec
    state: JobState = JobState()
    outputs: tuple[Output, ...] = ()
    """of a completed job, in the order of `spec.samples`"""
    owner: str | None = None
    """name of the API key that it was made with"""
    request_hash: str | None = None
    """equal for equal requests"""
    idempotency: str | None = None
    """the key that its create was sent with, and its owner, as one hash: no other job has the same"""
    repeats: int = 0
    """creates that have found it in place of a new job"""
    has_image: bool = False
    """whether it starts from an image, which `spec` has only before it runs"""
    turn: int = 0
    """among the jobs that wait, see `frontend.jobs.limits`; the store assigns it"""
    fence: int = 0
    """number of its run, from 1: a durable store takes nothing from a run that a later one has replaced"""

    def with_state(self, state: JobState) -> "Job":
        return self.model_copy(update={"state": state})


@dataclass(frozen=True)
class FinishedJob:
    """A completed job and its files, in the order of `job.outputs`."""

    job: Job
    files: tuple[bytes, ...]


def fraction_done(progress: Iterable[Progress], parts: int) -> float:
    """How far a job of `parts` videos or images is, 0 to 1, from the progress of those that have told theirs."""
    return sum(_fraction(part) for part in progress) / parts


def _fraction(progress: Progress) -> float:
    denoised = progress.steps_done / max(progress.steps, 1)
    decoded = progress.frames_done / max(progress.frames, 1)
    return _DENOISING_SHARE * denoised + (1 - _DENOISING_SHARE) * decoded
