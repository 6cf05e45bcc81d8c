"""`GET /v1/videos/{video_id}/events` and `GET /v1/jobs/{job_id}/events`: what happens to a job, as server-sent events.

Both say the same; only the names of the events differ.
"""

from typing import Annotated, Any, Literal

from fastapi import Query
from pydantic import BaseModel, Field

from frontend.schemas.errors import ErrorDetail

_EXAMPLE = "video_5f0c6c7b1f0d4a0f9d5e6a7b8c9d0e1f"


def _previews(event: str, what: str) -> Any:
    return Query(
        description=f"Send `{event}` events too, where there is a stream: small images of what the {what} is going to "
        "look like, a few seconds apart (`TRITONREEL_PREVIEW_SECONDS`). A job that runs in another process has none "
        "here."
    )


PreviewsParam = Annotated[bool, _previews("video.preview", "video")]
JobPreviewsParam = Annotated[bool, _previews("job.preview", "video or image")]


class PreviewEvent(BaseModel):
    """What a video or image is going to look like, as a step estimates it."""

    type: str
    id: str = Field(description="The job's.", examples=[_EXAMPLE])
    index: int = Field(description="Which video or image of the request, from 0.", examples=[0])
    step: int = Field(description="The denoising step that estimates it.", examples=[15])
    steps: int = Field(description="All of them.", examples=[40])
    width: int = Field(description="Of the preview, in pixels.", examples=[256])
    height: int = Field(examples=[148])
    b64_json: str = Field(description="A WebP, base64: the image, or the frame in the middle of the video.")


class VideoPreview(PreviewEvent):
    """The `data` of a `video.preview`."""

    type: Literal["video.preview"] = "video.preview"


class JobPreview(PreviewEvent):
    """The `data` of a `job.preview`."""

    type: Literal["job.preview"] = "job.preview"


class StateEvent(BaseModel):
    """The `data` of an event; its `type` is the event's name. What is not known is left out."""

    type: str
    id: str = Field(description="The job's.", examples=[_EXAMPLE])
    progress: int = Field(description="Per cent, of all that the request makes; it never goes back.", examples=[37])
    queue_position: int | None = Field(None, description="Jobs that start before this one.", examples=[3])
    index: int | None = Field(None, description="Which of several videos or images the numbers below are of, from 0.")
    step: int | None = Field(None, description="Denoising steps that are done.", examples=[15])
    steps: int | None = Field(None, description="All of them.", examples=[40])
    frames_done: int | None = Field(None, description="Frames that are decoded.", examples=[0])
    frames: int | None = Field(None, description="All of them.", examples=[81])
    seconds_left: float | None = Field(
        None, description="Until the job is done, as it went until now.", examples=[48.5]
    )
    error: ErrorDetail | None = Field(None, description="Why it failed.")


class VideoEvent(StateEvent):
    """What happens to a video."""

    type: Literal["video.queued", "video.in_progress", "video.completed", "video.failed", "video.cancelled"]


class JobEvent(StateEvent):
    """What happens to a job."""

    type: Literal["job.queued", "job.in_progress", "job.completed", "job.failed", "job.cancelled"]
