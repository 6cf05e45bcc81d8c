"""What both ways to ask for a video have in common in their responses: what was really made."""

from pydantic import BaseModel, Field

from frontend.providers.hosted_model import Operation
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
        description="The MP4 (H.264, yuv420p), base64; left out where `response_format` is `url`. Its metadata "
        "`comment` says as JSON what it was made with; a hosted one is as its provider made it.",
    )
    url: str = Field(description=URL_DESCRIPTION, examples=[EXAMPLE_URL])
    seed: int | None = Field(
        description="The seed that it was made with; null of a hosted provider that tells none.", examples=[42]
    )
    timings: Timings


class HostedParams(BaseModel):
    """What a hosted provider was asked for; null where it was left to the model, or does not apply."""

    provider: str = Field(examples=["klingai"])
    operation: Operation
    duration: int = Field(description="Seconds.", examples=[5])
    resolution: str = Field(examples=["720p"])
    aspect_ratio: str = Field(description="Empty where the video has that of what it starts from.", examples=["16:9"])
    negative_prompt: str | None
    seed: int | None
    generate_audio: bool | None
    enhance_prompt: bool | None
    price: float = Field(description="US dollars, by the provider's price list.", examples=[0.4])


class HostedSource(BaseModel):
    """Where a hosted provider has a video."""

    prediction_id: str = Field(description="The provider's own id.")
    source_video_url: str | None = Field(description="For some days; null where it has sent the bytes alone.")


class VideoDescription(BaseModel):
    """What is made, or was."""

    model: str = Field(examples=["wan2.2-t2v-a14b"])
    size: str = Field(examples=["832x480"])
    num_frames: int = Field(examples=[81])
    fps: float = Field(examples=[16.0])
    params: VideoSampling | HostedParams
    warnings: list[str] = Field(
        description="What of the request was not done as written: unknown fields, a rounded frame count, ...",
        examples=[["num_frames: 82 is not 4k+1, 81 were made", "unknown field 'sedd' has no effect"]],
    )


class VideoReport(VideoDescription):
    """What was really made."""

    timings: Timings = Field(description=TIMINGS_DESCRIPTION)
