"""`GET /v1/videos/{video_id}/events`: what happens to a job, as server-sent events."""

from typing import Annotated, Literal

from fastapi import Query
from pydantic import BaseModel, Field

from frontend.schemas.errors import ErrorDetail

VideoEventType = Literal["video.queued", "video.in_progress", "video.completed", "video.failed", "video.cancelled"]


PreviewsParam = Annotated[
    bool,
    Query(
        description="Send `video.preview` events too, where there is a stream: small images of what the video is going "
        "to look like, a few seconds apart (`TRITONREEL_PREVIEW_SECONDS`). A job that runs in another process has none "
        "here."
    ),
]


class VideoPreview(BaseModel):
    """The `data` of a `video.preview`: what a video is going to look like, as a step estimates it."""

    type: Literal["video.preview"] = "video.preview"
    id: str = Field(description="The video's.", examples=["video_5f0c6c7b1f0d4a0f9d5e6a7b8c9d0e1f"])
    index: int = Field(description="Which video of the request, from 0.", examples=[0])
    step: int = Field(description="The denoising step that estimates it.", examples=[15])
    steps: int = Field(description="All of them.", examples=[40])
    width: int = Field(description="Of the preview, in pixels.", examples=[256])
    height: int = Field(examples=[148])
    b64_json: str = Field(description="The frame in the middle of the video: a WebP, base64.")


class VideoEvent(BaseModel):
    """The `data` of an event; its `type` is the event's name. What is not known is left out."""

    type: VideoEventType
    id: str = Field(description="The video's.", examples=["video_5f0c6c7b1f0d4a0f9d5e6a7b8c9d0e1f"])
    progress: int = Field(description="Per cent, of all videos of the request; it never goes back.", examples=[37])
    queue_position: int | None = Field(None, description="Jobs that start before this one.", examples=[3])
    index: int | None = Field(None, description="Which video of the request the numbers below are of, from 0.")
    step: int | None = Field(None, description="Denoising steps that are done.", examples=[15])
    steps: int | None = Field(None, description="All of them.", examples=[40])
    frames_done: int | None = Field(None, description="Frames that are decoded.", examples=[0])
    frames: int | None = Field(None, description="All of them.", examples=[81])
    seconds_left: float | None = Field(
        None, description="Until the job is done, as it went until now.", examples=[48.5]
    )
    error: ErrorDetail | None = Field(None, description="Why it failed.")
