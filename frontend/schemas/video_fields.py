"""What both ways to ask for a video have in common in their requests."""

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from frontend.schemas.fields import Fields, RequestFields, Word
from protocol.partial import partial
from protocol.sampling import VideoOptions, VideoSize

_NUMBER = re.compile(r"[0-9]{1,4}(\.[0-9]{1,9})?")


def _number(value: Any) -> Any:
    """OpenAI's `seconds` is text: "4"."""
    return float(value) if isinstance(value, str) and _NUMBER.fullmatch(value) else value


Fps = Annotated[float, Field(ge=1, le=120, allow_inf_nan=False)]
_LENGTH = Field(gt=0, le=3600, allow_inf_nan=False)
Duration = Annotated[float, _LENGTH]
"""seconds"""
Seconds = Annotated[
    float,
    BeforeValidator(_number, json_schema_input_type=float | Annotated[str, Field(pattern=f"^{_NUMBER.pattern}$")]),
    _LENGTH,
]
"""`Duration`, or text as OpenAI's clients send it"""


@partial()
class VideoParams(VideoSize, Fields):
    """Shape and rate of the video, as a group."""

    fps: Fps | None = Field(None, description="Frames per second of the file, whole or not (23.976).", examples=[16])


class VideoSamplingFields(VideoOptions, VideoParams):
    """Everything that may be given at the top level or in `extra_body`."""

    seconds: Seconds | None = Field(
        None,
        description="Length, instead of `num_frames`: floor(seconds * fps) + 1 frames, rounded down to 4k+1. "
        "`num_frames` wins when both are given.",
        examples=[5],
    )


class ExtraBody(VideoSamplingFields):
    """Model-specific fields, for clients that keep them apart."""


class VideoRequest(VideoSamplingFields, RequestFields):
    """A request for videos."""

    video_params: VideoParams | None = Field(
        None, description="Fills the fields of the same name that are absent at the top level."
    )
    extra_body: ExtraBody | None = Field(
        None, description="Fills the fields of the same name that are absent at the top level and in `video_params`."
    )
    response_format: Word | None = Field(
        None,
        description="`url` leaves out `b64_json`, and `data` has URLs alone. With `b64_json`, which it is if absent, "
        "it has both.",
        examples=["b64_json"],
    )
    stream: bool | None = Field(None, description="True is answered with 400: follow `/v1/videos/{id}/events`.")
