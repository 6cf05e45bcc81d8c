"""What both ways to ask for a video have in common in their responses: what was really made."""

from pydantic import BaseModel, Field

from frontend.schemas.timings import Timings
from protocol.sampling import VideoSampling


class VideoData(BaseModel):
    """One video."""

    b64_json: str = Field(description="The MP4 (H.264, yuv420p), base64.")
    seed: int = Field(description="The seed that it was made with.", examples=[42])
    timings: Timings


class VideoReport(BaseModel):
    """What was really made."""

    model: str = Field(examples=["wan2.2-t2v-a14b"])
    size: str = Field(examples=["832x480"])
    num_frames: int = Field(examples=[81])
    fps: float = Field(examples=[16.0])
    params: VideoSampling
    timings: Timings = Field(
        description="Of the request: phases summed over its videos, and `total_seconds` from its arrival to its answer."
    )
    warnings: list[str] = Field(
        description="What of the request was not done as written: unknown fields, a rounded frame count, ...",
        examples=[["num_frames: 82 is not 4k+1, 81 were made", "unknown field 'sedd' has no effect"]],
    )
