"""A video that is wanted of a hosted provider, and what of it the provider can do."""

from dataclasses import dataclass, replace
from decimal import Decimal

from frontend.providers.hosted_model import LANDSCAPE, HostedModel, Operation, Option
from protocol.errors import InvalidRequest

_OPTIONS: tuple[Option, ...] = ("negative_prompt", "seed", "generate_audio", "enhance_prompt")
_LONG_SIDES = {"360p": 640, "480p": 832, "720p": 1280, "1080p": 1920, "4k": 3840}
SHORT_SIDES = {"360p": 360, "480p": 480, "720p": 720, "1080p": 1080, "4k": 2160}
"""pixels of the shorter side, by what a resolution is called"""


@dataclass(frozen=True)
class InputImage:
    """An image that a video starts from, as a file."""

    content: bytes
    media_type: str


@dataclass(frozen=True, kw_only=True)
class _Wishes:
    """What a provider is told as it is wanted, where it heeds it."""

    negative_prompt: str | None = None
    seed: int | None = None
    generate_audio: bool | None = None
    enhance_prompt: bool | None = None
    image: InputImage | None = None
    source: str | None = None
    """of an extension or a retake: the video, as its provider knows it (an id or a URL)"""


@dataclass(frozen=True)
class VideoRequest(_Wishes):
    """What is wanted. None leaves it to the model."""

    prompt: str
    duration: float | None = None
    """seconds"""
    resolution: str | None = None
    """480p, 720p, ..."""
    aspect_ratio: str | None = None
    """WIDTH:HEIGHT"""
    audio: bool = False
    """whether there is a sound track that the video is to have"""


@dataclass(frozen=True, kw_only=True)
class FittedRequest(_Wishes):
    """What a provider is asked for: every value is one that it offers."""

    model: HostedModel
    operation: Operation
    prompt: str
    duration: int
    resolution: str
    aspect_ratio: str
    """empty where the video has that of what it starts from"""
    changes: tuple[str, ...] = ()
    """what was asked for and is done otherwise, a sentence each"""

    @property
    def addressee(self) -> str:
        """See `Addressed`."""
        return self.model.id

    @property
    def path(self) -> str:
        """What the provider calls the model."""
        return self.model.paths[self.operation]

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels; of a landscape where there is no aspect ratio."""
        ratio = self.aspect_ratio or LANDSCAPE
        return self.model.sizes.get((self.resolution, ratio)) or size_of(self.resolution, ratio)

    @property
    def price(self) -> Decimal:
        """US dollars, as the table of prices says."""
        price = self.model.offer(self.operation).price
        return price.of(self.duration, self.resolution, audio=self.generate_audio is True)


def size_of(resolution: str, aspect_ratio: str) -> tuple[int, int]:
    """Width and height in pixels of what providers call 720p and so on."""
    long, short = _LONG_SIDES[resolution], SHORT_SIDES[resolution]
    width, height = (int(number) for number in aspect_ratio.split(":"))
    if width == height:
        return short, short
    return (long, short) if width > height else (short, long)


def fit(
    request: VideoRequest, model: HostedModel, operation: Operation | None = None, *, strict: bool = False
) -> FittedRequest:
    """The request with every value the nearest that `model` offers; ties go to the smaller one.

    Args:
        operation: what is to be done; told by the image and the source if None.
        strict: refuse what would be done otherwise.

    Raises:
        InvalidRequest: names the field that cannot be done, or only otherwise.
    """
    prompt = request.prompt.strip()
    if not prompt:
        raise InvalidRequest("must not be empty", "prompt")
    if len(prompt) > model.longest_prompt:
        raise InvalidRequest(f"{model.id} takes at most {model.longest_prompt} characters, got {len(prompt)}", "prompt")
    operation = operation or _operation(request, model)
    _check(request, model, operation)
    offer = model.offer(operation)
    changes: list[str] = []
    resolution = _resolution(request.resolution, offer, changes)
    duration = _duration(request.duration, resolution, offer, changes)
    aspect_ratio = _aspect_ratio(request.aspect_ratio, offer, changes)
    fitted = FittedRequest(
        model=model,
        operation=operation,
        prompt=prompt,
        duration=duration,
        resolution=resolution,
        aspect_ratio=aspect_ratio,
        image=request.image,
        source=request.source,
    )
    for option in _OPTIONS:
        value = getattr(request, option)
        if option in offer.options:
            fitted = replace(fitted, **{option: value})
        elif value is not None and value is not False:
            changes.append(f"{option} has no effect: {model.id} does not take it for {operation}")
    if request.audio:
        changes.append(f"audio_base64 has no effect: {model.id} does not take it")
    if strict and changes:
        raise InvalidRequest("; ".join(changes) + " (strict is set)", changes[0].split()[0])
    return replace(fitted, changes=tuple(changes))


def _operation(request: VideoRequest, model: HostedModel) -> Operation:
    if request.source is not None:
        return "video-extension" if model.can("video-extension") else "video-to-video"
    return "text-to-video" if request.image is None else "image-to-video"


def _check(request: VideoRequest, model: HostedModel, operation: Operation) -> None:
    if not model.can(operation):
        raise InvalidRequest(f"{model.id} does {', '.join(sorted(model.paths))}, not {operation}", "model")
    needed = {"image-to-video": ("image", request.image), "video-to-video": ("video", request.source)}
    needed["video-extension"] = ("video", request.source)
    field, value = needed.get(operation, ("", ""))
    if value is None:
        raise InvalidRequest(f"{operation} needs one", field)


def _duration(wanted: float | None, resolution: str, model: HostedModel, changes: list[str]) -> int:
    offered = model.durations_at.get(resolution, model.durations)
    if wanted is None:
        return offered[0] if model.default_duration not in offered else model.default_duration
    if not wanted > 0:
        raise InvalidRequest(f"must be greater than 0, got {wanted:g}", "duration")
    nearest = min(sorted(offered), key=lambda one: abs(one - wanted))
    if nearest != wanted:
        where = f" at {resolution}" if resolution in model.durations_at else ""
        choice = ", ".join(map(str, offered))
        changes.append(f"duration is {nearest} seconds, not {wanted:g}: {model.id} offers {choice}{where}")
    return nearest


def _resolution(wanted: str | None, model: HostedModel, changes: list[str]) -> str:
    if wanted is None:
        return model.default_resolution or model.resolutions[-1]
    name = wanted.lower()
    if name not in SHORT_SIDES:
        raise InvalidRequest(f"must be one of {', '.join(SHORT_SIDES)}, got {wanted[:50]!r}", "resolution")
    offered = sorted(model.resolutions, key=SHORT_SIDES.__getitem__)
    nearest = min(offered, key=lambda one: abs(SHORT_SIDES[one] - SHORT_SIDES[name]))
    if nearest != name:
        changes.append(f"resolution is {nearest}, not {name}: {model.id} offers {', '.join(offered)}")
    return nearest


def _aspect_ratio(wanted: str | None, model: HostedModel, changes: list[str]) -> str:
    if wanted is None:
        return model.aspect_ratios[0] if model.aspect_ratios else ""
    ratio = ratio_of(wanted)
    if not model.aspect_ratios:
        changes.append("aspect_ratio has no effect: the video has that of what it starts from")
        return ""
    nearest = min(model.aspect_ratios, key=lambda offered: abs(ratio_of(offered) - ratio))
    if abs(ratio_of(nearest) - ratio) > 1e-6:
        offered = ", ".join(model.aspect_ratios)
        changes.append(f"aspect_ratio is {nearest}, not {wanted}: {model.id} offers {offered}")
    return nearest


def ratio_of(text: str) -> float:
    """Width to height. Raises InvalidRequest."""
    width, _, height = text.partition(":")
    if not (width.isascii() and width.isdigit() and height.isascii() and height.isdigit() and len(text) < 20):
        raise InvalidRequest(f"must be WIDTH:HEIGHT like 16:9, got {text[:50]!r}", "aspect_ratio")
    if int(width) == 0 or int(height) == 0:
        raise InvalidRequest(f"must be WIDTH:HEIGHT like 16:9, got {text!r}", "aspect_ratio")
    return int(width) / int(height)
