"""How far a job is.

queued ──> in_progress ──> completed
   │            ├────────> failed
   └────────────┴────────> cancelled        (a job can also fail, or complete, before a step of it was reported)
"""

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from frontend.jobs.hosted_spec import HostedSpec
from frontend.jobs.product import VideoProduct
from frontend.jobs.spec import JobSpec, JobTask
from protocol.events import Done, JobTimings, Progress
from protocol.sampling import AnySpec

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


class HostedReport(BaseModel):
    """What is known of a video that a hosted provider has made."""

    model_config = ConfigDict(frozen=True)

    type: Literal["hosted"] = "hosted"
    spec: HostedSpec
    """with the size and the frames that the file has"""
    timings: JobTimings
    """the provider's own work, of which it tells no phases, counts as denoising"""
    warnings: tuple[str, ...] = ()
    prediction_id: str
    """the provider's"""
    source_video_url: str
    """where the provider has it, for some days; empty where it has sent the bytes alone"""
    extension_source: str | None = None
    """what an extension of it starts from, as the provider knows it; None where it cannot be extended"""


class Output(BaseModel):
    """What is known of one finished video or image."""

    model_config = ConfigDict(frozen=True)

    report: Annotated[Done | HostedReport, Field(discriminator="type")]
    """the generator's, or the provider's"""
    encode_seconds: float
    bytes: int | None = None
    """of its file; None of one that an earlier release has made"""


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
    submissions: dict[int, str] = {}
    """by part, what a hosted provider has been sent: the `Prediction` as JSON; empty from just before it is sent until
    that is known"""

    @property
    def made(self) -> AnySpec | HostedSpec:
        """What the first video or image was made with, or is to be."""
        return self.outputs[0].report.spec if self.outputs else self.spec.samples[0]

    @property
    def task(self) -> JobTask:
        return self.spec.task(has_image=self.has_image)

    @property
    def num_frames(self) -> int:
        """Of each video or image; of a hosted one that is not there yet, what is expected."""
        made = self.made
        return made.num_frames if isinstance(made, HostedSpec) else self.spec.num_frames

    @property
    def fps(self) -> Fraction:
        """Frames per second of a job that makes videos; likewise."""
        made = self.made
        if isinstance(made, HostedSpec):
            return Fraction(made.fps).limit_denominator(1001)
        assert isinstance(self.spec.product, VideoProduct)
        return self.spec.product.fps

    @property
    def seconds(self) -> float:
        """The length of each video; likewise."""
        return float(self.num_frames / self.fps)

    @property
    def warnings(self) -> list[str]:
        """What of the request is not done as written, or was not; each sentence once, equal for all that are made of
        one text."""
        warned = [warning for output in self.outputs for warning in output.report.warnings]
        return list(dict.fromkeys([*self.spec.warnings, *warned]))

    @property
    def cannot_stop(self) -> bool:
        """Whether a hosted provider has been sent what it makes, and charges for, whoever leaves."""
        made = self.spec.samples[0]
        return isinstance(made, HostedSpec) and not made.stops and bool(self.submissions)

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
