"""`POST /v1/videos/generations`: the request and the response."""

from typing import Literal

from pydantic import ConfigDict, Field

from frontend.schemas.video_fields import VideoRequest
from frontend.schemas.video_report import VideoData, VideoReport


class VideoGenerationRequest(VideoRequest):
    """A text-to-video request. A field that is null counts as absent."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"prompt": "a red circle moves right"},
                {
                    "prompt": "a lighthouse in a storm, waves break over the rocks",
                    "negative_prompt": "blurry, static",
                    "size": "832x480",
                    "seconds": 5,
                    "fps": 16,
                    "guidance_scale": 4.0,
                    "guidance_scale_2": 3.0,
                    "seed": 42,
                },
            ]
        }
    )

    stream: bool | None = Field(None, description="Answer with server-sent events; the last one has the result.")


class VideoGenerationResponse(VideoReport):
    """The videos, and what was really made."""

    created: int = Field(description="Unix time.", examples=[1767225600])
    seconds: float = Field(description="num_frames / fps.", examples=[5.0625])
    data: list[VideoData]


class VideoGenerationCompleted(VideoGenerationResponse):
    """The last event of a stream."""

    type: Literal["video_generation.completed"] = "video_generation.completed"
