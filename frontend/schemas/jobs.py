"""`GET /v1/jobs` and what belongs to it: jobs, whether they make videos or images, here or at a hosted provider."""

from typing import Literal

from pydantic import BaseModel, Field

from frontend.jobs.listing import Kind
from frontend.jobs.spec import JobTask
from frontend.jobs.state import JobStatus
from frontend.schemas.fields import EXAMPLE_URL, URL_DESCRIPTION
from frontend.schemas.images_generations import ImageParams
from frontend.schemas.pages import ListPage
from frontend.schemas.record import Record
from frontend.schemas.video_report import HostedParams, HostedSource
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


class JobObject(Record):
    """A job in any state: what it makes, how far it is, and what it has made."""

    object: Literal["job"] = "job"
    kind: Kind = Field(description="What it makes.")
    task: JobTask = Field(description="What it makes, from what.")
    status: JobStatus
    model: str = Field(examples=["wan2.2-t2v-a14b"])
    negative_prompt: str | None
    size: str = Field(examples=["832x480"])
    n: int = Field(description="How many videos or images.", examples=[1])
    num_frames: int | None = Field(description="Of each video.", examples=[81])
    fps: float | None = Field(description="Of each video.", examples=[16.0])
    seconds: float | None = Field(description="Of each video: num_frames / fps.", examples=[5.0625])
    params: VideoSampling | ImageParams | HostedParams = Field(description="How they are sampled.")
    lora: tuple[LoraRequest, ...] = Field(description="The adapters, which are among `params` too.")
    files: list[JobFile] = Field(description="Once it is completed.")
    warnings: list[str] = Field(description="What of the request is not done as written.")
    hosted: list[HostedSource] | None = Field(description="Of each video that a hosted provider has made.")


class JobList(ListPage[JobObject]):
    """A page of jobs."""


class DeletedJob(BaseModel):
    """What is left of a job."""

    id: str
    object: Literal["job.deleted"] = "job.deleted"
    deleted: Literal[True] = True
