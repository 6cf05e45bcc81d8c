"""`POST /v1/videos/generations`: the request and the response."""

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from pipelines.model_card import Solver
from pipelines.request import (
    BoundaryRatio,
    FlowShift,
    FrameCount,
    Guidance,
    NegativePrompt,
    Pixels,
    Prompt,
    Seed,
    Steps,
)

MAX_SIDE = 16384
MAX_CLIPS = 10


def parse_size(size: str) -> tuple[int, int]:
    """Width and height, pixels, of `WIDTHxHEIGHT`. Raises ValueError when it is not of that form."""
    width, height = size.split("x")
    if not (width.isascii() and width.isdigit() and height.isascii() and height.isdigit()):
        raise ValueError(size)
    return int(width), int(height)


def _check_size(size: str) -> str:
    try:
        sides = parse_size(size)
    except ValueError:
        sides = (0, 0)
    if not all(1 <= side <= MAX_SIDE for side in sides):
        raise PydanticCustomError(
            "size", f'must be "WIDTHxHEIGHT" in pixels, each from 1 to {MAX_SIDE}, like "832x480"'
        )
    return size


Size = Annotated[str, AfterValidator(_check_size)]
ClipCount = Annotated[int, Field(ge=1, le=MAX_CLIPS)]
Fps = Annotated[float, Field(ge=1, le=120, allow_inf_nan=False)]
Seconds = Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)]


class _Fields(BaseModel):
    """Strict types: "5" is not 5 and true is not 1. Fields that nobody knows are kept, so that they can be named."""

    model_config = ConfigDict(strict=True, frozen=True, extra="allow")


class VideoParams(_Fields):
    """Shape and rate of the clip, as a group."""

    width: Pixels | None = Field(None, description="Pixels.", examples=[832])
    height: Pixels | None = Field(None, description="Pixels.", examples=[480])
    num_frames: FrameCount | None = Field(
        None,
        description="Frames of the clip, up to the model's `max_frames`. The model makes 4k+1 frames: another count is "
        "rounded down, and the response says what was made.",
        examples=[81],
    )
    fps: Fps | None = Field(None, description="Frames a second of the file, whole or not (23.976).", examples=[16])


class SamplingFields(VideoParams):
    """Everything that may be given at the top level or, for clients that keep such fields apart, in `extra_body`."""

    seconds: Seconds | None = Field(
        None,
        description="Length, instead of `num_frames`: floor(seconds * fps) + 1 frames, rounded down to 4k+1. "
        "`num_frames` wins when both are given.",
        examples=[5],
    )
    num_inference_steps: Steps | None = Field(None, description="Denoising steps.", examples=[40])
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
    negative_prompt: NegativePrompt | None = Field(None, description="What to steer away from.", examples=["blurry"])
    seed: Seed | None = Field(
        None,
        description="The same seed and parameters give the same clip. Absent: random, and reported. The i-th of `n` "
        "clips uses seed + i, counted from 0.",
        examples=[42],
    )
    flow_shift: FlowShift | None = Field(
        None, description="Shift of the noise schedule; more spends more steps at high noise.", examples=[12.0]
    )
    boundary_ratio: BoundaryRatio | None = Field(
        None,
        description="Fraction of the training timesteps below which the low-noise expert takes over.",
        examples=[0.875],
    )
    solver: Solver | None = Field(None, description="How the noise is integrated away.", examples=["unipc"])


class ExtraBody(SamplingFields):
    """Model-specific fields."""


class VideoGenerationRequest(SamplingFields):
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

    prompt: Prompt = Field(description="What to show.", examples=["a red circle moves right"])
    model: str | None = Field(
        None, description="A served id, see `GET /v1/models`. May be left out where one model is served."
    )
    n: ClipCount | None = Field(
        None, description="Clips to make, 1 if absent. They run at the same time.", examples=[1]
    )
    size: Size | None = Field(
        None,
        description='"WIDTHxHEIGHT", multiples of the model\'s `size_multiple`. `width` and `height` override it.',
        examples=["832x480"],
    )
    lora: dict[str, Any] | None = Field(None, description="Reserved for adapters, which are not supported yet (400).")
    video_params: VideoParams | None = Field(
        None, description="Fills the fields of the same name that are absent at the top level."
    )
    extra_body: ExtraBody | None = Field(
        None, description="Fills the fields of the same name that are absent at the top level and in `video_params`."
    )
    response_format: str | None = Field(None, description="`b64_json` is the only one.", examples=["b64_json"])
    stream: bool | None = Field(None, description="Streaming is not supported yet: true is answered with 400.")

    def unknown_fields(self) -> list[str]:
        """Dotted names of the fields that have no effect."""
        names = list(self.model_extra or ())
        for group in ("video_params", "extra_body"):
            fields: _Fields | None = getattr(self, group)
            if fields is not None:
                names += [f"{group}.{name}" for name in fields.model_extra or ()]
        return names


class Timings(BaseModel):
    """Seconds spent, by phase."""

    queue_seconds: float = Field(description="Waiting for a place.")
    text_seconds: float = Field(description="Encoding the prompts.")
    image_seconds: float = Field(description="Encoding the image that the clip starts from.")
    denoise_seconds: float = Field(description="All denoising steps.")
    decode_seconds: float = Field(description="Turning latents into frames.")
    encode_seconds: float = Field(description="Encoding H.264, most of it while later frames are being decoded.")
    total_seconds: float = Field(description="From the start to the end.")


class VideoData(BaseModel):
    """One clip."""

    b64_json: str = Field(description="The MP4 (H.264, yuv420p), base64.")
    seed: int = Field(description="The seed that it was made with.", examples=[42])
    timings: Timings


class SamplingReport(BaseModel):
    """What the clips were made with, beside size and length."""

    num_inference_steps: int = Field(examples=[40])
    guidance_scale: float = Field(examples=[4.0])
    guidance_scale_2: float | None = Field(
        None, description="null where the model has one transformer.", examples=[3.0]
    )
    flow_shift: float = Field(examples=[12.0])
    boundary_ratio: float | None = Field(
        None, description="null where the model has one transformer.", examples=[0.875]
    )
    solver: Solver = Field(examples=["unipc"])


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
