"""From a request to the job that it asks for: what is open is filled in, and what cannot be done is refused."""

from collections.abc import Iterable, Set
from dataclasses import dataclass, field
from fractions import Fraction
from math import floor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from frontend.errors import UnknownFields
from frontend.http.request_id import current_request_id
from frontend.jobs.product import ImageProduct, Product, VideoProduct
from frontend.jobs.spec import JobSpec, new_job_id
from frontend.jobs.state import Job
from frontend.media.image_encoder import WEBP_MAX_SIDE
from frontend.media.reference_image import FIELD, ReferenceImage
from frontend.schemas.fields import Fields, parse_size
from frontend.schemas.images_generations import AUTO, ImageGenerationRequest, ImageSamplingFields
from frontend.schemas.video_fields import VideoRequest, VideoSamplingFields
from frontend.schemas.videos import ExtendRequest, RemixRequest, VideoCreateRequest
from protocol.errors import InvalidRequest
from protocol.model_card import ModelCard
from protocol.printable import printable
from protocol.resolve import parse, resolve
from protocol.sampling import MAX_SEED, AnySpec

_LARGEST_FPS_DENOMINATOR = 1001
"""enough for three decimals (23.976) and for the NTSC rates (24000/1001), and small enough for an MP4's clock"""
_LENGTH = frozenset({"num_frames", "seconds"})
"""they say the same thing"""
_WITHOUT_EFFECT = frozenset({"vae_use_slicing", "vae_use_tiling"})
_MOST_NAMED = 20
"""unknown fields that a message names"""
_LONGEST_NAME = 100
"""characters of such a name that are repeated"""
_MENTIONED_LOSS = 0.05
"""fraction of an image that may be cropped without a word"""


def check_supported(request: VideoRequest | ImageGenerationRequest, *, refuse_unknown_fields: bool) -> None:
    """Refuse what no model here can do.

    Raises:
        InvalidRequest: naming the field and what is allowed.
        UnknownFields: naming the unknown fields, if the server refuses them.
    """
    check_unknown_fields(request, refuse=refuse_unknown_fields)
    if isinstance(request, VideoCreateRequest) and request.stream:
        raise InvalidRequest("is for /v1/videos/generations; here follow /v1/videos/{id}/events", "stream")
    if isinstance(request, ImageGenerationRequest):
        _check_image_fields(request)
    if request.response_format not in (None, "b64_json", "url"):
        raise InvalidRequest("must be b64_json or url", "response_format")


def check_unknown_fields(request: Fields, *, refuse: bool) -> None:
    """Raises UnknownFields: naming the unknown fields, if the server refuses them."""
    if refuse and (unknown := _unknown_fields(request)):
        others = f", nor are {', '.join(unknown[1:])}" if unknown[1:] else ""
        raise UnknownFields(f"is not a field that this server knows{others}", unknown[0])


def plan_video(
    request: VideoRequest, card: ModelCard, created_at: float, image: ReferenceImage | None = None
) -> JobSpec:
    """The job for the request's videos.

    Args:
        created_at: unix time at which the request came.
        image: what the videos start from. The job does not have it yet: it is fitted to the size that they turn out
            to have, see `JobSpec.starting_from`.

    Raises:
        InvalidRequest: naming the field and what is allowed.
    """
    options = collect(request)
    fps = exact_fps(options.values.pop("fps", card.defaults.fps))
    warnings = _warnings(request)
    seconds = options.values.pop("seconds", None)
    if seconds is not None and "num_frames" in options.values:
        warnings.append("seconds has no effect beside num_frames")
    elif seconds is not None:
        options.set_default("num_frames", frames_in(seconds, fps), options.sources["seconds"])
    if image is not None:
        _fill_from_image(options, card, image)
    samples = _samples(options, card, request.n or 1)
    width, height = samples[0].width, samples[0].height
    if image is not None and (lost := image.lost_by(width, height)) > _MENTIONED_LOSS:
        warnings.append(f"{FIELD}: {lost:.0%} of the image was cut off to fill {width}x{height}")
    asked, made = options.values.get("num_frames"), samples[0].num_frames
    if asked not in (None, made):
        warnings.append(f"num_frames: {asked} is not {card.latents.temporal_stride}k+1, {made} were made")
    return _spec(card, VideoProduct(fps=fps), samples, warnings, created_at)


def plan_image(request: ImageGenerationRequest, card: ModelCard, created_at: float) -> JobSpec:
    """The job for the request's images; arguments and errors as for `plan_video`."""
    options = _collect(request, ImageSamplingFields.model_fields.keys() - _WITHOUT_EFFECT, ("extra_body",))
    warnings = _warnings(request)
    if "guidance_scale" in options.values and card.defaults.guidance_scale is None:
        warnings.append(f"{options.sources['guidance_scale']} has no effect on {card.id}, use true_cfg_scale")
    samples = _samples(options, card, request.n or 1)
    quality = 100 if request.output_compression is None else request.output_compression
    product = ImageProduct(format=request.output_format or "png", quality=quality)
    longest = max(samples[0].width, samples[0].height)
    if product.format == "webp" and longest > WEBP_MAX_SIDE:
        raise InvalidRequest(f"webp has sides of at most {WEBP_MAX_SIDE} pixels, got {longest}", "output_format")
    spec = _spec(card, product, samples, warnings, created_at)
    return spec.model_copy(update={"partial_images": request.partial_images or 0})


def plan_remix(original: JobSpec, request: RemixRequest, created_at: float, *, detached: bool) -> JobSpec:
    """The job for the same videos of another prompt; what they start from is missing, as in `plan_video`."""
    return JobSpec(
        id=new_job_id(original.product.kind),
        product=original.product,
        model=original.model,
        samples=tuple(sample.model_copy(update={"prompt": request.prompt}) for sample in original.samples),
        warnings=tuple(_warnings(request)),
        request_id=current_request_id(),
        created_at=created_at,
        detached=detached,
        remixed_from=original.id,
    )


def plan_extension(
    original: Job, request: ExtendRequest, card: ModelCard, created_at: float, *, detached: bool
) -> JobSpec:
    """The job for the first of the videos and what comes after it; the last frame, from which it goes on, is missing.

    Raises:
        InvalidRequest: naming the field and what is allowed.
    """
    width, height = original.made.width, original.made.height
    options = Options()
    options.set_default("prompt", request.prompt, "prompt")
    options.set_default("num_frames", frames_in(request.seconds, original.fps), "seconds")
    options.set_default("width", width, "video")
    options.set_default("height", height, "video")
    options.set_default("image", _stand_in(width, height), "video")
    product = VideoProduct(fps=original.fps)
    spec = _spec(card, product, _samples(options, card, 1), _warnings(request), created_at)
    extended = {"extends": original.spec.id, "extended_frames": original.num_frames}
    return spec.model_copy(update={"detached": detached, **extended})


def exact_fps(fps: float) -> Fraction:
    """The number as its decimal digits say it, not as the nearest binary fraction: 23.976 is 2997/125."""
    return Fraction(str(fps)).limit_denominator(_LARGEST_FPS_DENOMINATOR)


def frames_in(seconds: float, fps: Fraction) -> int:
    """The frames of a video whose last frame is shown `seconds` after its first."""
    return floor(Fraction(str(seconds)) * fps) + 1


@dataclass(frozen=True)
class Options:
    """The sampling fields that a request gives, wherever it gives them."""

    values: dict[str, Any] = field(default_factory=dict)
    """by the name that the field has at the top level"""
    sources: dict[str, str] = field(default_factory=dict)
    """what the client called each: `size` for a width that came from it, `extra_body.solver`, ..."""

    def fill(self, group: Fields, names: Iterable[str], prefix: str = "") -> None:
        """Take from `group`, which the client calls `prefix`, those of the fields `names` that are absent yet."""
        for name, value in group.given(names).items():
            self.set_default(name, value, prefix + name)

    def set_default(self, name: str, value: object, source: str) -> None:
        if name not in self.values:
            self.values[name] = value
            self.sources[name] = source

    def in_clients_words(self, error: InvalidRequest) -> InvalidRequest:
        """The same error, naming the field that the client sent."""
        return InvalidRequest(error.message, self.sources.get(error.field or "", error.field))


def collect(request: VideoRequest) -> Options:
    """The sampling fields of a request for videos, wherever it gives them."""
    return _collect(request, VideoSamplingFields.model_fields.keys(), ("video_params", "extra_body"))


def _collect(request: VideoRequest | ImageGenerationRequest, names: Set[str], groups: tuple[str, ...]) -> Options:
    """The sampling fields `names`: top level first, then each of `groups`, which fills only what is absent yet."""
    options = Options()
    options.set_default("prompt", request.prompt, "prompt")
    options.fill(request, names)
    if request.size not in (None, AUTO):
        for side, pixels in zip(("width", "height"), parse_size(request.size), strict=True):
            options.set_default(side, pixels, "size")
    for name in groups:
        group = getattr(request, name)
        if group is not None:
            # A length given further up rules out one that is given otherwise here.
            open_names = names if _LENGTH.isdisjoint(options.values) else names - _LENGTH
            options.fill(group, type(group).model_fields.keys() & open_names, f"{name}.")
    return options


def _samples(options: Options, card: ModelCard, n: int) -> tuple[AnySpec, ...]:
    """What `n` videos or images are made with; they differ in their seeds only, which count up.

    Raises:
        InvalidRequest: naming the field, as the client calls it, and what is allowed.
    """
    try:
        first = resolve(parse(options.values), card)
        if first.seed + n - 1 > MAX_SEED:
            raise InvalidRequest(f"seed + n - 1 must be at most {MAX_SEED}", "seed")
    except InvalidRequest as error:
        raise options.in_clients_words(error) from None
    return tuple(first.model_copy(update={"seed": first.seed + i, "image": None}) for i in range(n))


def _spec(
    card: ModelCard,
    product: Product,
    samples: tuple[AnySpec, ...],
    warnings: list[str],
    created_at: float,
) -> JobSpec:
    return JobSpec(
        id=new_job_id(product.kind),
        product=product,
        model=card.id,
        samples=samples,
        warnings=tuple(warnings),
        request_id=current_request_id(),
        created_at=created_at,
    )


def _warnings(request: Fields) -> list[str]:
    """A sentence for each unknown field."""
    return [f"unknown field '{name}' has no effect" for name in _unknown_fields(request)]


def _unknown_fields(request: Fields) -> list[str]:
    """Their names, fit for a message: few, short and printable, whatever the client sent."""
    unknown = request.unknown_fields()
    names = [printable(name, _LONGEST_NAME) for name in unknown[:_MOST_NAMED]]
    rest = len(unknown) - _MOST_NAMED
    return [*names, f"... and {rest} more"] if rest > 0 else names


def _fill_from_image(options: Options, card: ModelCard, image: ReferenceImage) -> None:
    """The video's size where it is open, and an image of that size that takes no memory, for the real one."""
    width, height = image.size_for(card, options.values.get("width"), options.values.get("height"))
    options.set_default("width", width, FIELD)
    options.set_default("height", height, FIELD)
    options.set_default("image", _stand_in(width, height), FIELD)


def _stand_in(width: int, height: int) -> NDArray[np.uint8]:
    return np.broadcast_to(np.uint8(0), (height, width, 3))


def _check_image_fields(request: ImageGenerationRequest) -> None:
    if request.partial_images and not request.stream:
        raise InvalidRequest("needs stream: true", "partial_images")
    if request.background == "transparent":
        raise InvalidRequest("images are opaque here, must be opaque or auto", "background")
    if request.output_format in (None, "png") and request.output_compression not in (None, 100):
        raise InvalidRequest("less than 100 is for jpeg and webp; png loses nothing", "output_compression")
