"""What a video request comes to: the clips to make, and what of it was not done as written."""

from dataclasses import dataclass, replace
from fractions import Fraction
from math import floor
from typing import Any

from frontend.errors import UnknownFields
from frontend.schemas.videos_generations import SamplingFields, VideoGenerationRequest, VideoParams, parse_size
from pipelines.errors import InvalidRequest
from pipelines.model_card import ModelCard
from pipelines.request import MAX_SEED, SamplingParams, parse, resolve

_LARGEST_FPS_DENOMINATOR = 1001
"""enough for three decimals (23.976) and for the NTSC rates (24000/1001), and small enough for an MP4's clock"""
_LENGTH = frozenset({"num_frames", "seconds"})
_MOST_UNKNOWN_NAMED = 20
_LONGEST_NAME = 100
"""characters of an unknown field's name that are repeated"""


@dataclass(frozen=True)
class VideoPlan:
    """The clips of one request; they differ in their seeds only."""

    model: str
    clips: tuple[SamplingParams, ...]
    fps: Fraction
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class _Options:
    """The sampling fields that the request gives, wherever it gives them."""

    values: dict[str, Any]
    """by the name that the field has at the top level"""
    sources: dict[str, str]
    """what the client called each: `size` for a width that came from it, `extra_body.solver`, ..."""


def check_supported(request: VideoGenerationRequest, *, refuse_unknown: bool) -> None:
    """Refuse what no model here can do.

    Raises:
        InvalidRequest: naming the field and what is allowed.
        UnknownFields: naming the unknown fields, if the server refuses them.
    """
    if refuse_unknown and (unknown := _named(request.unknown_fields())):
        others = f", nor are {', '.join(unknown[1:])}" if unknown[1:] else ""
        raise UnknownFields(f"is not a field that this server knows{others}", unknown[0])
    if request.stream:
        raise InvalidRequest("streaming is not supported yet, leave it out or say false", "stream")
    if request.response_format not in (None, "b64_json"):
        raise InvalidRequest("must be b64_json", "response_format")
    if request.lora is not None:
        raise InvalidRequest("adapters are not supported yet", "lora")


def plan_video(request: VideoGenerationRequest, card: ModelCard) -> VideoPlan:
    """Fill in what the request leaves open, and check that the model can do it.

    Raises:
        InvalidRequest: naming the field and what is allowed.
    """
    options = _collect(request)
    values = dict(options.values)
    fps = exact_fps(values.pop("fps", card.defaults.fps))
    warnings = [f"unknown field {name!r} has no effect" for name in _named(request.unknown_fields())]
    seconds = values.pop("seconds", None)
    if seconds is not None and "num_frames" in values:
        warnings.append("seconds has no effect beside num_frames")
    elif seconds is not None:
        values["num_frames"] = frames_in(seconds, fps)
        options.sources["num_frames"] = options.sources["seconds"]
    try:
        first = resolve(parse({"prompt": request.prompt, **values}), card)
    except InvalidRequest as error:
        raise InvalidRequest(error.message, options.sources.get(error.field or "", error.field)) from None
    asked = values.get("num_frames", first.num_frames)
    if asked != first.num_frames:
        rule = f"{card.latents.temporal_stride}k+1"
        warnings.append(f"num_frames: {asked} is not {rule}, {first.num_frames} were made")
    n = request.n or 1
    if first.seed + n - 1 > MAX_SEED:
        raise InvalidRequest(f"seed + n - 1 must be at most {MAX_SEED}", options.sources.get("seed", "seed"))
    clips = tuple(replace(first, seed=first.seed + i) for i in range(n))
    return VideoPlan(card.id, clips, fps, tuple(warnings))


def exact_fps(fps: float) -> Fraction:
    """The number as its decimal digits say it, not as the nearest binary fraction: 23.976 is 2997/125."""
    return Fraction(str(fps)).limit_denominator(_LARGEST_FPS_DENOMINATOR)


def frames_in(seconds: float, fps: Fraction) -> int:
    """The frames of a clip whose last frame is shown `seconds` after its first."""
    return floor(Fraction(str(seconds)) * fps) + 1


def _collect(request: VideoGenerationRequest) -> _Options:
    """Top level first, then `video_params`, then `extra_body`; each fills only what is absent before it."""
    options = _Options({}, {})
    _fill(options, request, "")
    if request.size is not None:
        for side, pixels in zip(("width", "height"), parse_size(request.size), strict=True):
            if side not in options.values:
                options.values[side] = pixels
                options.sources[side] = "size"
    for prefix, group in (("video_params.", request.video_params), ("extra_body.", request.extra_body)):
        if group is not None:
            _fill(options, group, prefix)
    return options


def _fill(options: _Options, group: VideoParams, prefix: str) -> None:
    """Take from `group` the fields that `options` lacks. `num_frames` and `seconds` say the same thing."""
    length_known = not _LENGTH.isdisjoint(options.values)
    for name in type(group).model_fields.keys() & SamplingFields.model_fields.keys():
        value = getattr(group, name)
        if value is not None and name not in options.values and not (length_known and name in _LENGTH):
            options.values[name] = value
            options.sources[name] = prefix + name


def _named(unknown: list[str]) -> list[str]:
    """Names fit for a message: few, short, and text that can be encoded whatever the client sent."""
    names = [name[:_LONGEST_NAME].encode(errors="replace").decode() for name in unknown[:_MOST_UNKNOWN_NAMED]]
    rest = len(unknown) - _MOST_UNKNOWN_NAMED
    return [*names, f"... and {rest} more"] if rest > 0 else names
