"""A request for a clip or a picture: its bounds, and what a model's card makes of it."""

import secrets
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, InstanceOf, ValidationError
from pydantic_core import PydanticCustomError

from protocol.errors import InvalidRequest
from protocol.lora import MAX_ADAPTERS, LoraRequest
from protocol.model_card import ModelCard, Solver

T = TypeVar("T")

MAX_SEED = 2**63 - 1
MAX_SIDE = 16384
"""pixels, of any model"""


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


# The bounds of each field, used here and in the HTTP schemas.
Prompt = Annotated[str, Field(min_length=1, max_length=8000, pattern=r"\S")]
NegativePrompt = Annotated[str, Field(max_length=8000)]
Pixels = Annotated[int, Field(ge=1, le=MAX_SIDE)]
FrameCount = Annotated[int, Field(ge=1, le=100_000)]
Steps = Annotated[int, Field(ge=1, le=200)]
Guidance = Annotated[float, Field(ge=0, le=20, allow_inf_nan=False)]
Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]
FlowShift = Annotated[float, Field(gt=0, le=100, allow_inf_nan=False)]
BoundaryRatio = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Loras = Annotated[
    tuple[LoraRequest, ...],
    Field(max_length=MAX_ADAPTERS),
    BeforeValidator(_as_tuple, json_schema_input_type=LoraRequest | tuple[LoraRequest, ...]),
]


class SamplingRequest(BaseModel):
    """The fields as a client sends them; None stands for "the model's own"."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    prompt: Prompt
    negative_prompt: NegativePrompt | None = None
    width: Pixels | None = None
    height: Pixels | None = None
    num_frames: FrameCount | None = None
    num_inference_steps: Steps | None = None
    guidance_scale: Guidance | None = None
    guidance_scale_2: Guidance | None = None
    true_cfg_scale: Guidance | None = None
    seed: Seed | None = None
    flow_shift: FlowShift | None = None
    boundary_ratio: BoundaryRatio | None = None
    solver: Solver | None = None
    lora: Loras = ()
    image: InstanceOf[np.ndarray] | None = None  # type: ignore[type-arg]
    """what an image-to-video clip starts from: uint8 [height, width, 3] of the clip's own size, RGB"""


@dataclass(frozen=True)
class SamplingParams:
    """One clip or picture to make, with nothing left open; None for what its model has no use for.

    Sizes in pixels; `num_frames` is 4k+1.
    """

    prompt: str
    negative_prompt: str
    width: int
    height: int
    num_frames: int
    num_inference_steps: int
    guidance_scale: float | None
    guidance_scale_2: float | None
    true_cfg_scale: float | None
    seed: int
    flow_shift: float | None
    boundary_ratio: float | None
    solver: Solver
    lora: tuple[LoraRequest, ...] = ()
    image: NDArray[np.uint8] | None = field(default=None, repr=False, compare=False)
    """uint8 [height, width, 3], RGB"""

    def to_json(self) -> dict[str, Any]:
        """Everything but the image, as JSON has it."""
        values = {name: value for name, value in vars(self).items() if name != "image"}
        values["lora"] = [lora.model_dump(exclude_none=True) for lora in self.lora]
        return values


def parse(fields: dict[str, object]) -> SamplingRequest:
    """Read a request from loose values.

    Raises:
        InvalidRequest: naming the first field that is missing, unknown, of the wrong type or out of bounds.
    """
    try:
        return SamplingRequest.model_validate(fields)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = str(first["loc"][0]) if first["loc"] else None
        raise InvalidRequest(first["msg"], field) from None


def resolve(request: SamplingRequest, card: ModelCard) -> SamplingParams:
    """Fill what the request leaves open from the card, and check that the model can do it.

    Raises:
        InvalidRequest: naming the field and what is allowed.
    """
    own = card.defaults
    num_frames = _first(request.num_frames, own.num_frames)
    if num_frames > card.limits.max_frames:
        raise InvalidRequest(f"must be at most {card.limits.max_frames} frames, got {num_frames}", "num_frames")
    guidance_scale, guidance_scale_2 = _guidance_pair(request, card)
    params = SamplingParams(
        prompt=request.prompt,
        negative_prompt=_first(request.negative_prompt, own.negative_prompt),
        width=_first(request.width, own.width),
        height=_first(request.height, own.height),
        num_frames=round_frames(num_frames, card.latents.temporal_stride),
        num_inference_steps=_first(request.num_inference_steps, own.num_inference_steps),
        guidance_scale=guidance_scale,
        guidance_scale_2=guidance_scale_2,
        true_cfg_scale=_own(request.true_cfg_scale, own.true_cfg_scale, card, "true_cfg_scale"),
        seed=_first(request.seed, secrets.randbelow(2**32)),
        flow_shift=_own(request.flow_shift, own.flow_shift, card, "flow_shift"),
        boundary_ratio=_own(request.boundary_ratio, own.boundary_ratio, card, "boundary_ratio"),
        solver=_first(request.solver, own.solver),
        lora=request.lora,
        image=request.image,
    )
    if params.solver not in card.solvers:
        raise InvalidRequest(f"{card.id} takes {' or '.join(card.solvers)}, got {params.solver}", "solver")
    _check_size(params, card)
    _check_image(params, card)
    return params


def round_frames(num_frames: int, temporal_stride: int) -> int:
    """The greatest count of the form stride*k + 1 that is not above `num_frames` (diffusers rounds the same way)."""
    return (num_frames - 1) // temporal_stride * temporal_stride + 1


def _first(given: T | None, default: T) -> T:
    return default if given is None else given


def _own(given: T | None, default: T | None, card: ModelCard, field_name: str) -> T | None:
    """As `_first`, for a field that only some models have a use for: those with a default."""
    if given is not None and default is None:
        raise InvalidRequest(f"{card.id} has no use for it: {_WHY_UNUSED[field_name]}", field_name)
    return _first(given, default)


_WHY_UNUSED = {
    "guidance_scale_2": "it has one transformer, which takes guidance_scale",
    "true_cfg_scale": "it is guided by guidance_scale",
    "flow_shift": "its schedule is shifted by the size of the picture",
    "boundary_ratio": "it has one transformer, so there is no boundary to set",
}


def _guidance_pair(request: SamplingRequest, card: ModelCard) -> tuple[float | None, float | None]:
    """diffusers' rules: the second guidance follows the first when only the first is given, and a model that was
    not distilled for guidance_scale ignores it."""
    own = card.defaults
    if own.guidance_scale is None:
        return None, _own(request.guidance_scale_2, None, card, "guidance_scale_2")
    second = _own(request.guidance_scale_2, own.guidance_scale_2, card, "guidance_scale_2")
    if request.guidance_scale is None:
        return own.guidance_scale, second
    if second is not None and request.guidance_scale_2 is None:
        return request.guidance_scale, request.guidance_scale
    return request.guidance_scale, second


def _check_size(params: SamplingParams, card: ModelCard) -> None:
    limits = card.limits
    for side, pixels in (("width", params.width), ("height", params.height)):
        if pixels % limits.size_multiple:
            raise InvalidRequest(f"must be a multiple of {limits.size_multiple}, got {pixels}", side)
        if pixels > limits.max_side:
            raise InvalidRequest(f"must be at most {limits.max_side}, got {pixels}", side)
    pixel_frames = params.width * params.height * params.num_frames
    if pixel_frames > limits.max_pixel_frames:
        raise InvalidRequest(
            f"width * height * num_frames must be at most {limits.max_pixel_frames:,}, "
            f"got {params.width} * {params.height} * {params.num_frames} = {pixel_frames:,}",
            "size",
        )


def _check_image(params: SamplingParams, card: ModelCard) -> None:
    if params.image is None:
        if card.needs_image:
            raise InvalidRequest(f"{card.id} makes clips that start from an image, so it needs one", "image")
        return
    if not card.takes_image:
        raise InvalidRequest(f"{card.id} takes no image", "image")
    expected, shape, dtype = (params.height, params.width, 3), params.image.shape, params.image.dtype
    if dtype != np.uint8 or shape != expected:
        raise InvalidRequest(
            f"must be uint8 {list(expected)}, the size of the clip, got {dtype} {list(shape)}", "image"
        )
