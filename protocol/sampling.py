"""Every sampling field once: its type, bounds, description and example.

    Size ─ VideoSize               how large, and how many frames
    Sampling                       how to sample, whatever the model
    ├── WanSampling
    └── QwenImageSampling
    NegativePrompt, Adapters, Seed, Prompt

A family's **spec** puts them together: what one job makes, with nothing left open. It is made by
`protocol.resolve.resolve`, sent to `generate`, read by the family's sampling code, and reported when the job is done.

What may be left open has the same fields from the same classes (`protocol.partial`): `VideoOptions` and `ImageOptions`
for HTTP, `SamplingRequest` for gRPC, `SamplingDefaults` in a model's card. So a new field is one field here; a family
that has no use for it says nothing of it.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, InstanceOf
from pydantic.json_schema import SkipJsonSchema
from pydantic_core import PydanticCustomError

from protocol.lora import MAX_ADAPTERS, LoraRequest
from protocol.partial import partial

Solver = Literal["unipc", "euler"]

MAX_SEED = 2**63 - 1
MAX_SIDE = 16384
"""pixels of a side of any request; a model's own limit is in its card"""
PROMPT = frozenset({"prompt"})
"""what no request can leave out"""


@dataclass(frozen=True)
class NoUse:
    """Beside a field's type: why some models have no use for it."""

    why: str


Scale = Annotated[float, Field(ge=0, le=20, allow_inf_nan=False)]
"""of guidance; 1 and below turn it off"""


class _Fields(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class Size(_Fields):
    """How large."""

    width: int = Field(ge=1, le=MAX_SIDE, description="Pixels.", examples=[832])
    height: int = Field(ge=1, le=MAX_SIDE, description="Pixels.", examples=[480])


class VideoSize(Size):
    """How large, and how long."""

    num_frames: int = Field(
        1,
        ge=1,
        le=100_000,
        description="Frames of the video, up to the model's `max_frames`. The model makes 4k+1 frames: another count "
        "is rounded down, and the response says what was made.",
        examples=[81],
    )


class Sampling(_Fields):
    """How to sample, whatever the model."""

    num_inference_steps: int = Field(ge=1, le=200, description="Denoising steps.", examples=[40])
    guidance_rescale: float = Field(
        0.0,
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="How far the guided prediction is scaled back to the standard deviation of the prompt's own, "
        "against overexposure by strong guidance; 0 is off (diffusers' `guidance_rescale`).",
        examples=[0.7],
    )
    solver: Solver = Field("unipc", description="The ODE solver that takes the denoising steps.", examples=["unipc"])


class WanSampling(Sampling):
    """How Wan samples; None where the model has one transformer."""

    guidance_scale: Scale = Field(
        description="Classifier-free guidance of the high-noise expert, which does the first steps (of the whole model "
        "where it has one transformer). 1 and below turn guidance off.",
        examples=[4.0],
    )
    guidance_scale_2: Annotated[Scale | None, NoUse("it has one transformer, which takes guidance_scale")] = Field(
        None,
        description="Guidance of the low-noise expert (diffusers' `transformer_2`), which does the last steps. Follows "
        "`guidance_scale` when only that is given; the model's own pair applies when neither is.",
        examples=[3.0],
    )
    flow_shift: Annotated[float, NoUse("its schedule is shifted by the size of the image")] = Field(
        gt=0,
        le=100,
        allow_inf_nan=False,
        description="Shift of the noise schedule; more spends more steps at high noise.",
        examples=[12.0],
    )
    boundary_ratio: Annotated[float | None, NoUse("it has one transformer, so there is no boundary to set")] = Field(
        None,
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="Fraction of the training timesteps below which the low-noise expert takes over.",
        examples=[0.875],
    )


class QwenImageSampling(Sampling):
    """How Qwen-Image samples; None where the model is guided otherwise."""

    true_cfg_scale: Annotated[Scale | None, NoUse("it is guided by guidance_scale")] = Field(
        None,
        description="Guidance by the difference between prompt and negative prompt. 1 and below turn it off, which "
        "halves the work.",
        examples=[4.0],
    )
    guidance_scale: Scale | None = Field(
        None,
        description="For models distilled for it. Qwen-Image is not: it has no effect there, and a warning says so.",
        examples=[4.0],
    )


class NegativePrompt(_Fields):
    negative_prompt: str = Field(
        "",
        max_length=8000,
        description="What to steer away from; read up to the same length as the prompt. Has no effect without "
        "guidance, which a warning says.",
        examples=["blurry"],
    )


class Adapters(_Fields):
    lora: Annotated[
        tuple[LoraRequest, ...],
        Field(max_length=MAX_ADAPTERS),
        BeforeValidator(lambda value: _as_tuple(value), json_schema_input_type=LoraRequest | tuple[LoraRequest, ...]),
    ] = Field(
        (),
        description="An adapter (LoRA) that `GET /v1/loras` lists, or an array of them, each with its `scale`. What of "
        "it the model lacks is left out and named in `warnings`.",
        examples=[{"name": "ink", "scale": 0.8}],
    )


class Seed(_Fields):
    seed: int = Field(
        ge=0,
        le=MAX_SEED,
        description="The same seed and parameters give the same result. Absent: random, and reported. The i-th of `n` "
        "uses seed + i, counted from 0.",
        examples=[42],
    )


class Prompt(_Fields):
    prompt: str = Field(
        min_length=1,
        max_length=8000,
        pattern=r"\S",
        description="What to show. A model reads as many tokens of it as its `max_sequence_length` in "
        "`GET /v1/models` says; what is longer is cut off there, and a warning says so.",
        examples=["a red circle moves right"],
    )


class Spec(Adapters, Seed, VideoSize, NegativePrompt, Prompt, Sampling):
    """What one job makes, whatever the model. Sizes in pixels; `num_frames` is 4k+1."""

    image: SkipJsonSchema[InstanceOf[NDArray[np.uint8]] | None] = Field(None, exclude=True, repr=False)
    """what an image-to-video request starts from: uint8 [height, width, 3] of the video's own size, RGB"""

    def parameters(self) -> str:
        """Everything but prompt and image, as JSON: what `generate` takes as `sampling_parameters`."""
        return self.model_dump_json(exclude=set(PROMPT), exclude_none=True)


class WanSpec(WanSampling, Spec):
    """A video of the Wan family."""


class QwenImageSpec(QwenImageSampling, Spec):
    """An image of the Qwen-Image family."""

    @property
    def cfg_scale(self) -> float:
        """`true_cfg_scale`; 1, which guides nothing, where the model has no use for it."""
        return 1.0 if self.true_cfg_scale is None else self.true_cfg_scale


SPECS: dict[str, type[WanSpec] | type[QwenImageSpec]] = {
    "wan_t2v": WanSpec,
    "wan_i2v": WanSpec,
    "wan_ti2v": WanSpec,
    "qwen_image": QwenImageSpec,
}
"""by the family that a card names"""
AnySpec = WanSpec | QwenImageSpec


@partial()
class VideoSampling(WanSampling, Adapters):
    """How videos are sampled; null where the model has no use for it."""


@partial()
class ImageSampling(QwenImageSampling, Adapters):
    """How images are sampled; null where the model has no use for it."""


@partial()
class VideoOptions(VideoSampling, VideoSize, NegativePrompt, Seed):
    """What a request for videos may say beside its prompt. With an image it is image-to-video."""


@partial()
class ImageOptions(ImageSampling, Size, NegativePrompt, Seed):
    """What a request for images may say beside its prompt."""


@partial(required=PROMPT)
class SamplingRequest(WanSpec, QwenImageSpec):
    """What a client of `generate` may say, whatever the model; None stands for "the model's own"."""

    def given(self) -> dict[str, Any]:
        """Those that are not left out."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: value for name, value in values.items() if value is not None}


@partial(keep_defaults=True)
class SamplingDefaults(WanSampling, QwenImageSampling, VideoSize, NegativePrompt):
    """What a request gets for each field that it leaves out; None for what the model has no use for.

    A field that a card does not mention has its own default, so that cards written before there was such a field stay
    right.
    """

    fps: float | None = None
    """frames per second; None for images"""


def _as_tuple(value: Any) -> Any:
    """One adapter may stand alone instead of in a list. Counts before any of them is looked at."""
    match value:
        case list() | tuple() if len(value) > MAX_ADAPTERS:
            raise PydanticCustomError(
                "too_long", "must have at most {max_length} entries", {"max_length": MAX_ADAPTERS}
            )
        case list():
            return tuple(value)
        case dict() | LoraRequest():
            return (value,)
        case _:
            return value
