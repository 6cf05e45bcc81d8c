"""`POST /video/generate` and `/video/extend`: one shape of request for every provider, and for this server's models."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from frontend.schemas.fields import EXAMPLE_URL, Count, Fields, Word
from frontend.schemas.video_fields import Fps, Seconds
from frontend.schemas.videos import Video
from protocol.partial import partial
from protocol.sampling import MAX_SEED, NegativePrompt, Prompt

Mode = Literal["text_to_video", "image_to_video", "video_to_video", "video_extension"]


@partial()
class VideoSettings(NegativePrompt, Fields):
    """How the video is to be. A field that is null or absent is left to the model."""

    model: Word | None = Field(
        None,
        description="A model of a hosted provider, or one of this server (`GET /v1/models`); `local` is the first of "
        "these that can do what is asked. If absent, `veo-3.1-fast`, or else what there is.",
        examples=["kling-v1"],
    )
    duration_seconds: Seconds | None = Field(
        None, description="The nearest that the model offers is made.", examples=[5]
    )
    aspect_ratio: Word | None = Field(None, description="WIDTH:HEIGHT; likewise.", examples=["16:9"])
    resolution: Word | None = Field(None, description="480p, 720p, 1080p, ...; likewise.", examples=["720p"])
    number_of_videos: Count | None = Field(None, description="1 if absent. They are made at the same time.")
    seed: int | None = Field(None, ge=0, le=MAX_SEED, description="The i-th video uses seed + i, counted from 0.")
    enhance_prompt: bool | None = Field(None, description="Whether the provider may write the prompt anew.")
    generate_audio: bool | None = Field(None, description="Whether the video is to have sound.")
    fps: Fps | None = Field(None, description="Frames per second, of this server's models alone.")
    file_extension: Literal["mp4"] | None = None
    person_generation: Word | None = Field(None, description="No model takes it.")
    compression_quality: Word | None = Field(None, description="No model takes it.")
    reference_images: Any = Field(None, description="No model takes them.")
    last_frame: Any = Field(None, description="No model takes it.")
    mask: Any = Field(None, description="No model takes it.")
    poll_timeout_seconds: float | None = Field(
        None,
        ge=1,
        le=24 * 3600,
        allow_inf_nan=False,
        description="How long to wait for a hosted provider; 600 if absent. It is told to stop then.",
    )
    poll_interval_seconds: float | None = Field(
        None,
        ge=0.1,
        le=600,
        allow_inf_nan=False,
        description="Between two questions how far it is; as the provider's documentation asks if absent.",
    )
    strict: bool | None = Field(
        None, description="Refuse what would be done otherwise than asked for, instead of saying so under `changes`."
    )
    video_id: Word | None = Field(None, description="See `settings.video_id`, which it goes before.")


class ServiceSettings(Fields):
    """The settings of a request."""

    video: VideoSettings = VideoSettings()
    video_id: Word | None = Field(
        None,
        description="Of `/video/extend`: the video that goes on, by its id here, or the provider's own.",
        examples=["video_5f0c6c7b1f0d4a0f9d5e6a7b8c9d0e1f"],
    )


class VideoServiceRequest(Prompt, Fields):
    """A request for videos, whoever makes them."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "prompt": "a red circle moves right",
                    "customer_id": 1,
                    "settings": {"video": {"model": "local", "duration_seconds": 5}},
                }
            ]
        }
    )

    customer_id: int = Field(
        gt=0, le=2**63 - 1, description="Whose video it is, for the name of its file in S3.", examples=[1]
    )
    settings: ServiceSettings = ServiceSettings()
    input_image_url: str | None = Field(
        None,
        description="A PNG, JPEG or WebP image that the video starts from: its URL, or a `data:` URI.",
    )
    save_to_db: bool = Field(
        True, description="False: `video_url` is a `data:` URI of the whole file instead of an address."
    )
    session_id: Word | None = Field(None, description="Has no effect; clients of the service send it.")


class VideoServiceData(BaseModel):
    """What was made."""

    video_url: str = Field(description="Of the first video.", examples=[EXAMPLE_URL])
    video_urls: list[str] = Field(description="Of all of them.")
    video_id: str = Field(description="For `GET /v1/videos/{id}`, and to extend it.")
    provider: str = Field(description="`local` for this server's own models.", examples=["klingai"])
    model: str = Field(examples=["kling-v1"])
    mode: Mode
    duration: float = Field(description="Seconds, of the file.", examples=[5.0])
    settings: dict[str, Any] = Field(description="What was really done.")
    changes: list[str] = Field(
        description="What was asked for and done otherwise, a sentence each.",
        examples=[["duration_seconds is 4 seconds, not 5: veo-3.1-fast offers 4, 6, 8"]],
    )
    cost: float = Field(description="US dollars, by the provider's price list; 0 for this server's own models.")
    source_video_id: str | None = Field(None, description="Of an extension: the video that went on.")


class VideoServiceResponse(BaseModel):
    """The answer when the videos are done."""

    success: Literal[True] = True
    code: Literal[200] = 200
    message: str = Field(examples=["1 video by klingai"])
    data: VideoServiceData


class VideoServiceJob(BaseModel):
    """The answer to a request that does not wait: the job, which goes on."""

    success: Literal[True] = True
    code: Literal[202] = 202
    message: str = Field(examples=["GET /v1/videos/video_5f0c6c7b1f0d4a0f9d5e6a7b8c9d0e1f tells how far it is"])
    data: Video
