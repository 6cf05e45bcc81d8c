"""`GET /v1/videos/{video_id}/events`: what happens to a job, as server-sent events."""

from typing import Literal

from pydantic import BaseModel, Field

from frontend.schemas.errors import ErrorDetail

VideoEventType = Literal["video.queued", "video.in_progress", "video.completed", "video.failed", "video.cancelled"]


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
