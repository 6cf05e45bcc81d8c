"""What both ways to ask for a video have in common in their responses: what was really made."""

from pydantic import BaseModel, Field

from frontend.schemas.fields import EXAMPLE_URL, URL_DESCRIPTION, is_none
from frontend.schemas.timings import Timings
from protocol.sampling import VideoSampling

TIMINGS_DESCRIPTION = (
    "Of the request: phases summed over its videos, and `total_seconds` from its arrival to its answer."
)


class VideoData(BaseModel):
    """One video."""

    b64_json: str | None = Field(
        None,
        exclude_if=is_none,
        description="The MP4 (H.264, yuv420p), base64; left out where `response_format` is `url`.",
    )
    url: str = Field(description=URL_DESCRIPTION, examples=[EXAMPLE_URL])
    seed: int = Field(description="The seed that it was made with.", examples=[42])
    timings: Timings


class VideoDescription(BaseModel):
    """What is made, or was."""

    model: str = Field(examples=["wan2.2-t2v-a14b"])
    size: str = Field(examples=["832x480"])
    num_frames: int = Field(examples=[81])
    fps: float = Field(examples=[16.0])
    params: VideoSampling
    warnings: list[str] = Field(
        description="What of the request was not done as written: unknown fields, a rounded frame count, ...",
        examples=[["num_frames: 82 is not 4k+1, 81 were made", "unknown field 'sedd' has no effect"]],
    )


class VideoReport(VideoDescription):
    """What was really made."""

    timings: Timings = Field(description=TIMINGS_DESCRIPTION)
