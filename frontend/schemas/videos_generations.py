"""`POST /v1/videos/generations`: the request and the response."""

from pydantic import BaseModel, ConfigDict, Field

from frontend.schemas.timings import Timings
from frontend.schemas.video_fields import SamplingReport, VideoRequest


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


class VideoData(BaseModel):
    """One clip."""

    b64_json: str = Field(description="The MP4 (H.264, yuv420p), base64.")
    seed: int = Field(description="The seed that it was made with.", examples=[42])
    timings: Timings


class VideoGenerationResponse(BaseModel):
    """The clips, and what was really made."""

    created: int = Field(description="Unix time.", examples=[1767225600])
    model: str = Field(examples=["wan2.2-t2v-a14b"])
    size: str = Field(examples=["832x480"])
    num_frames: int = Field(examples=[81])
    fps: float = Field(examples=[16.0])
    seconds: float = Field(description="num_frames / fps.", examples=[5.0625])
    params: SamplingReport
    data: list[VideoData]
    timings: Timings = Field(
        description="Of the request: phases summed over its clips, and `total_seconds` from its arrival to its answer."
    )
    warnings: list[str] = Field(
        description="What of the request was not done as written: unknown fields, a rounded frame count, ...",
        examples=[["num_frames: 82 is not 4k+1, 81 were made", "unknown field 'sedd' has no effect"]],
    )
