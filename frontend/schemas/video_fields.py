"""What both ways to ask for a clip have in common in their requests."""

from typing import Annotated

from pydantic import Field

from frontend.schemas.fields import RequestFields, SamplingFields, SizeFields, Word
from protocol.sampling import BoundaryRatio, FlowShift, FrameCount, Guidance

Fps = Annotated[float, Field(ge=1, le=120, allow_inf_nan=False)]
Seconds = Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)]


class VideoParams(SizeFields):
    """Shape and rate of the clip, as a group."""

    num_frames: FrameCount | None = Field(
        None,
        description="Frames of the clip, up to the model's `max_frames`. The model makes 4k+1 frames: another count is "
        "rounded down, and the response says what was made.",
        examples=[81],
    )
    fps: Fps | None = Field(None, description="Frames a second of the file, whole or not (23.976).", examples=[16])


class VideoSamplingFields(SamplingFields, VideoParams):
    """Everything that may be given at the top level or in `extra_body`."""

    seconds: Seconds | None = Field(
        None,
        description="Length, instead of `num_frames`: floor(seconds * fps) + 1 frames, rounded down to 4k+1. "
        "`num_frames` wins when both are given.",
        examples=[5],
    )
    guidance_scale: Guidance | None = Field(
        None,
        description="Classifier-free guidance of the high-noise expert, which does the first steps (of the whole model "
        "where it has one transformer). 1 and below turn guidance off.",
        examples=[4.0],
    )
    guidance_scale_2: Guidance | None = Field(
        None,
        description="Guidance of the low-noise expert (diffusers' `transformer_2`), which does the last steps. Follows "
        "`guidance_scale` when only that is given; the model's own pair applies when neither is.",
        examples=[3.0],
    )
    flow_shift: FlowShift | None = Field(
        None, description="Shift of the noise schedule; more spends more steps at high noise.", examples=[12.0]
    )
    boundary_ratio: BoundaryRatio | None = Field(
        None,
        description="Fraction of the training timesteps below which the low-noise expert takes over.",
        examples=[0.875],
    )


class ExtraBody(VideoSamplingFields):
    """Model-specific fields, for clients that keep them apart."""


class VideoRequest(VideoSamplingFields, RequestFields):
    """A request for clips."""

    video_params: VideoParams | None = Field(
        None, description="Fills the fields of the same name that are absent at the top level."
    )
    extra_body: ExtraBody | None = Field(
        None, description="Fills the fields of the same name that are absent at the top level and in `video_params`."
    )
    response_format: Word | None = Field(None, description="`b64_json` is the only one.", examples=["b64_json"])
    stream: bool | None = Field(None, description="Streaming is not supported yet: true is answered with 400.")
