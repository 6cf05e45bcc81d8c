"""From what a client says to the spec of its job: bounds, the model's defaults, and what the model can do."""

import secrets
from collections.abc import Mapping
from typing import Any

import numpy as np
from pydantic import ValidationError

from protocol.errors import InvalidRequest
from protocol.model_card import Extent, Limits, ModelCard
from protocol.printable import LONGEST, printable
from protocol.sampling import SPECS, AnySpec, NoUse, SamplingDefaults, SamplingRequest


def parse(fields: Mapping[str, object]) -> SamplingRequest:
    """Read a request from loose values.

    Raises:
        InvalidRequest: naming the first field that is missing, unknown, of the wrong type or out of bounds.
    """
    for name in fields:
        if name not in SamplingRequest.model_fields:
            raise InvalidRequest("is not a known sampling field", printable(name, LONGEST))
    try:
        return SamplingRequest.model_validate(fields)
    except ValidationError as error:
        raise _invalid(error) from None


def resolve(request: SamplingRequest, card: ModelCard) -> AnySpec:
    """Fill what the request leaves open from the card, and check that the model can do it.

    Raises:
        InvalidRequest: naming the field and what is allowed.
    """
    if card.family not in SPECS:
        raise InvalidRequest(f"{card.id} is of the family {card.family}, which is not known here", "model")
    spec_class = SPECS[card.family]
    given = _used(request.given(), card)
    _check_frames(given, card)
    own = {name: value for name, value in card.defaults if name in spec_class.model_fields and value is not None}
    values = {"seed": secrets.randbelow(2**32)} | own | given
    values["num_frames"] = round_frames(values["num_frames"], card.latents.temporal_stride)
    try:
        spec = spec_class.model_validate(values)
    except ValidationError as error:  # a default of the card; what is given has been checked
        raise _invalid(error) from None
    if spec.solver not in card.solvers:
        raise InvalidRequest(f"{card.id} takes {' or '.join(card.solvers)}, got {spec.solver}", "solver")
    _check_size(spec, card)
    _check_image(spec, card)
    return spec


def round_frames(num_frames: int, temporal_stride: int) -> int:
    """The greatest count of the form stride*k + 1 that is not above `num_frames` (diffusers rounds the same way)."""
    return (num_frames - 1) // temporal_stride * temporal_stride + 1


def _used(given: dict[str, Any], card: ModelCard) -> dict[str, Any]:
    """Those of the given fields that the model has a use for: those with a default, and those that no card has.

    By diffusers' rules a model that was not distilled for guidance_scale ignores it, and the second guidance follows
    the first when only the first is given.
    """
    used = {}
    for name, value in given.items():
        if name not in SamplingDefaults.model_fields or _has(card, name):
            used[name] = value
        elif name != "guidance_scale":
            raise InvalidRequest(f"{card.id} has no use for it: {_why(name)}", name)
    if "guidance_scale" in used and _has(card, "guidance_scale_2"):
        used.setdefault("guidance_scale_2", used["guidance_scale"])
    return used


def _has(card: ModelCard, name: str) -> bool:
    return name in SPECS[card.family].model_fields and getattr(card.defaults, name) is not None


def _why(name: str) -> str:
    """Why some models have no use for a field, as it says beside its type."""
    fields = [spec.model_fields[name] for spec in SPECS.values() if name in spec.model_fields]
    reasons = [note.why for field in fields for note in field.metadata if isinstance(note, NoUse)]
    return reasons[0] if reasons else "models of its family do not have it"


def _invalid(error: ValidationError) -> InvalidRequest:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    return InvalidRequest(first["msg"], str(first["loc"][0]) if first["loc"] else None)


def _check_frames(given: dict[str, Any], card: ModelCard) -> None:
    num_frames = given.get("num_frames", card.defaults.num_frames)
    if num_frames > card.limits.max_frames:
        message = f"must be at most {card.limits.max_frames} frames, got {num_frames}"
        raise InvalidRequest(message + _whose(card.limits, "max_frames"), "num_frames")


def _check_size(spec: AnySpec, card: ModelCard) -> None:
    limits = card.limits
    for side, pixels in (("width", spec.width), ("height", spec.height)):
        if pixels % limits.size_multiple:
            raise InvalidRequest(f"must be a multiple of {limits.size_multiple}, got {pixels}", side)
        if pixels > limits.max_side:
            raise InvalidRequest(f"must be at most {limits.max_side}, got {pixels}{_whose(limits, 'max_side')}", side)
    pixel_frames = spec.width * spec.height * spec.num_frames
    if pixel_frames > limits.max_pixel_frames:
        raise InvalidRequest(
            f"width * height * num_frames must be at most {limits.max_pixel_frames:,}, "
            f"got {spec.width} * {spec.height} * {spec.num_frames} = {pixel_frames:,}"
            + _whose(limits, "max_pixel_frames"),
            "size",
        )


def _whose(limits: Limits, extent: Extent) -> str:
    """What to do about a limit that is the engines' and not the model's."""
    if extent not in limits.of_engines:
        return ""
    return (
        ": the TensorRT engines of this server were built for no more; ask for less, or have them built for more with "
        "`python -m export.engines --size WIDTHxHEIGHTxFRAMES`"
    )


def _check_image(spec: AnySpec, card: ModelCard) -> None:
    if spec.image is None:
        if card.needs_image:
            raise InvalidRequest(f"{card.id} makes videos that start from an image, so it needs one", "image")
        return
    if not card.takes_image:
        raise InvalidRequest(f"{card.id} takes no image", "image")
    expected, shape, dtype = (spec.height, spec.width, 3), spec.image.shape, spec.image.dtype
    if dtype != np.uint8 or shape != expected:
        raise InvalidRequest(
            f"must be uint8 {list(expected)}, the size of the video, got {dtype} {list(shape)}", "image"
        )
