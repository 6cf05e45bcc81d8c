"""`GET /v1/jobs` and what belongs to it: jobs, whether they make videos or images, here or at a hosted provider."""

from typing import Literal

from pydantic import BaseModel, Field

from frontend.jobs.listing import Kind
from frontend.jobs.spec import JobTask
from frontend.jobs.state import JobStatus
from frontend.schemas.fields import EXAMPLE_URL, URL_DESCRIPTION
from frontend.schemas.images_generations import ImageParams
from frontend.schemas.timings import Timings
from frontend.schemas.video_report import TIMINGS_DESCRIPTION, HostedParams, HostedSource
from frontend.schemas.videos import VideoError
from protocol.lora import LoraRequest
from protocol.sampling import VideoSampling


class JobFile(BaseModel):
    """A video or an image of a completed job."""

    index: int = Field(description="Which of the request's, from 0.")
    url: str = Field(description=URL_DESCRIPTION, examples=[EXAMPLE_URL])
    thumbnail_url: str = Field(description="Likewise: a WebP of at most 320 pixels a side.")
    media_type: str = Field(examples=["video/mp4"])
    bytes: int | None = Field(description="Null of a file that an earlier release has made.", examples=[123456])
    seed: int | None = Field(description="Null of a hosted provider that tells none.", examples=[42])


class JobObject(BaseModel):
    """A job in any state: what it makes, how far it is, and what it has made."""

    id: str = Field(examples=["video_5f0c6c7b1f0d4a0f9d5e6a7b8c9d0e1f"])
    object: Literal["job"] = "job"
    kind: Kind = Field(description="What it makes.")
    task: JobTask = Field(description="What it makes, from what.")
    status: JobStatus
    progress: int = Field(ge=0, le=100, description="Per cent; 100 once it is completed.")
    model: str = Field(examples=["wan2.2-t2v-a14b"])
    prompt: str
    negative_prompt: str | None
    size: str = Field(examples=["832x480"])
    n: int = Field(description="How many videos or images.", examples=[1])
    num_frames: int | None = Field(description="Of each video.", examples=[81])
    fps: float | None = Field(description="Of each video.", examples=[16.0])
    seconds: float | None = Field(description="Of each video: num_frames / fps.", examples=[5.0625])
    params: VideoSampling | ImageParams | HostedParams = Field(description="How they are sampled.")
    lora: tuple[LoraRequest, ...] = Field(description="The adapters, which are among `params` too.")
    created_at: int = Field(description="Unix time of the request.", examples=[1767225600])
    completed_at: int | None = Field(description="Unix time at which it was completed.", examples=[1767225660])
    expires_at: int | None = Field(
        description="Unix time after which the server forgets it, once it has ended.", examples=[1767312060]
    )
    error: VideoError | None = Field(description="Why it failed, or that it was cancelled.")
    remixed_from_video_id: str | None = Field(description="The video that it varies.")
    files: list[JobFile] = Field(description="Once it is completed.")
    timings: Timings | None = Field(description=f"Once it is completed. {TIMINGS_DESCRIPTION}")
    warnings: list[str] = Field(description="What of the request is not done as written.")
    hosted: list[HostedSource] | None = Field(description="Of each video that a hosted provider has made.")


class JobList(BaseModel):
    """A page of jobs."""

    object: Literal["list"] = "list"
    data: list[JobObject]
    first_id: str | None = Field(description="Of the first job in `data`.")
    last_id: str | None = Field(description="Of the last one: the next page begins `after` it.")
    has_more: bool = Field(description="Whether there is a next page.")


class DeletedJob(BaseModel):
    """What is left of a job."""

    id: str
    object: Literal["job.deleted"] = "job.deleted"
    deleted: Literal[True] = True
