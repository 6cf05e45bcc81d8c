"""A text-to-video request: its bounds, and what a model's card makes of it."""

import secrets
from dataclasses import dataclass
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipelines.errors import InvalidRequest
from pipelines.model_card import ModelCard

T = TypeVar("T")

MAX_SEED = 2**63 - 1

# The bounds of each field, used here and in the HTTP schemas.
Prompt = Annotated[str, Field(min_length=1, max_length=8000, pattern=r"\S")]
NegativePrompt = Annotated[str, Field(max_length=8000)]
Pixels = Annotated[int, Field(ge=1, le=16384)]
FrameCount = Annotated[int, Field(ge=1, le=100_000)]
Steps = Annotated[int, Field(ge=1, le=200)]
Guidance = Annotated[float, Field(ge=0, le=20, allow_inf_nan=False)]
Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]
FlowShift = Annotated[float, Field(gt=0, le=100, allow_inf_nan=False)]
BoundaryRatio = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Solver = Literal["unipc", "euler"]


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
    seed: Seed | None = None
    flow_shift: FlowShift | None = None
    boundary_ratio: BoundaryRatio | None = None
    solver: Solver | None = None


@dataclass(frozen=True)
class SamplingParams:
    """One clip to make, with nothing left open. Sizes in pixels; `num_frames` is 4k+1."""

    prompt: str
    negative_prompt: str
    width: int
    height: int
    num_frames: int
    num_inference_steps: int
    guidance_scale: float
    guidance_scale_2: float | None
    seed: int
    flow_shift: float
    boundary_ratio: float | None
    solver: Solver


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
        seed=_first(request.seed, secrets.randbelow(2**32)),
        flow_shift=_first(request.flow_shift, own.flow_shift),
        boundary_ratio=_boundary(request, card),
        solver=_first(request.solver, own.solver),
    )
    _check_size(params, card)
    return params


def round_frames(num_frames: int, temporal_stride: int) -> int:
    """The greatest count of the form stride*k + 1 that is not above `num_frames` (diffusers rounds the same way)."""
    return (num_frames - 1) // temporal_stride * temporal_stride + 1


def _first(given: T | None, default: T) -> T:
    return default if given is None else given


def _guidance_pair(request: SamplingRequest, card: ModelCard) -> tuple[float, float | None]:
    """diffusers' rule: the second guidance follows the first when only the first is given."""
    own = card.defaults
    if card.components.transformer_2 is None:
        if request.guidance_scale_2 is not None:
            raise InvalidRequest(f"{card.id} has one transformer, so it takes guidance_scale only", "guidance_scale_2")
        return _first(request.guidance_scale, own.guidance_scale), None
    if request.guidance_scale is None:
        return own.guidance_scale, _first(request.guidance_scale_2, own.guidance_scale_2)
    return request.guidance_scale, _first(request.guidance_scale_2, request.guidance_scale)


def _boundary(request: SamplingRequest, card: ModelCard) -> float | None:
    if request.boundary_ratio is not None and card.components.transformer_2 is None:
        raise InvalidRequest(f"{card.id} has one transformer, so there is no boundary to set", "boundary_ratio")
    return _first(request.boundary_ratio, card.defaults.boundary_ratio)


def _check_size(params: SamplingParams, card: ModelCard) -> None:
    limits = card.limits
    for field, pixels in (("width", params.width), ("height", params.height)):
        if pixels % limits.size_multiple:
            raise InvalidRequest(f"must be a multiple of {limits.size_multiple}, got {pixels}", field)
        if pixels > limits.max_side:
            raise InvalidRequest(f"must be at most {limits.max_side}, got {pixels}", field)
    pixel_frames = params.width * params.height * params.num_frames
    if pixel_frames > limits.max_pixel_frames:
        raise InvalidRequest(
            f"width * height * num_frames must be at most {limits.max_pixel_frames:,}, "
            f"got {params.width} * {params.height} * {params.num_frames} = {pixel_frames:,}",
            "size",
        )
