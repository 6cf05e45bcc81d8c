"""The job of a model of this server."""

import time
from math import sqrt

from frontend.jobs.spec import JobSpec
from frontend.jobs.state import Job
from frontend.media.reference_image import FIELD, ReferenceImage
from frontend.plan import exact_fps, frames_in, plan_extension, plan_video
from frontend.providers.request import SHORT_SIDES, ratio_of
from frontend.schemas.video_service import VideoSettings
from frontend.schemas.videos import ExtendRequest, VideoCreateRequest
from frontend.video_service.wishes import check_strict, named, untaken
from protocol.errors import InvalidRequest
from protocol.model_card import ModelCard

_SETTINGS = {
    **dict.fromkeys(("num_frames", "seconds"), "duration_seconds"),
    **dict.fromkeys(("width", "height"), "resolution"),
    **{"n": "number_of_videos", "video": "video_id", FIELD: "input_image_url"},
}
"""fields of OpenAI's form that are called otherwise in the video service"""
_MENTIONED_DISTORTION = 0.05
"""of an aspect ratio, that the sides' rounding brings about"""


def plan_local(prompt: str, settings: VideoSettings, card: ModelCard, image: ReferenceImage | None) -> JobSpec:
    """The job; it does not have the image yet. Raises InvalidRequest: names the field."""
    changes: list[str] = []
    fps = settings.fps or card.defaults.fps or 1.0
    frames = _frames(settings.duration_seconds, card, fps, changes)
    width, height = _size(settings, card, frames or card.defaults.num_frames or 1, changes)
    wanted = {
        "prompt": prompt,
        "num_frames": frames,
        "width": width,
        "height": height,
        "fps": settings.fps,
        "seed": settings.seed,
        "negative_prompt": settings.negative_prompt,
        "n": settings.number_of_videos,
    }
    request = VideoCreateRequest.model_validate(wanted)
    try:
        spec = plan_video(request, card, time.time(), image)
    except InvalidRequest as error:
        raise _in_clients_words(error) from None
    return _with_changes(spec, settings, changes)


def plan_local_extension(prompt: str, settings: VideoSettings, original: Job, card: ModelCard) -> JobSpec:
    """The job of the video and what comes after it; the last frame, from which it goes on, is missing.

    Raises:
        InvalidRequest: names the field.
    """
    changes: list[str] = []
    fps = float(original.fps)
    frames = _frames(settings.duration_seconds, card, fps, changes) or card.defaults.num_frames or 1
    request = ExtendRequest(prompt=prompt, seconds=(frames - 1) / fps)
    try:
        spec = plan_extension(original, request, card, time.time(), detached=False)
    except InvalidRequest as error:
        raise _in_clients_words(error) from None
    return _with_changes(spec, settings, changes)


def _in_clients_words(error: InvalidRequest) -> InvalidRequest:
    """The same error, naming the setting that the client sent."""
    field = _SETTINGS.get(error.field or "", error.field)
    return InvalidRequest(error.message, named(field) if field in VideoSettings.model_fields else field)


def _with_changes(spec: JobSpec, settings: VideoSettings, changes: list[str]) -> JobSpec:
    changes = [*changes, *untaken(settings, spec.model, "enhance_prompt", "generate_audio"), *spec.warnings]
    check_strict(settings, changes)
    return spec.model_copy(update={"warnings": tuple(changes)})


def _frames(seconds: float | None, card: ModelCard, fps: float, changes: list[str]) -> int | None:
    """Frames of so many seconds, as many as the model can make; None where that is left to it."""
    if seconds is None:
        return None
    stride = card.latents.temporal_stride
    wanted = frames_in(seconds, exact_fps(fps))
    possible = min(wanted, card.limits.max_frames)
    if possible < wanted:
        changes.append(
            f"duration_seconds is {possible / fps:g}, not {seconds:g}: {card.id} makes at most "
            f"{card.limits.max_frames} frames, {fps:g} a second here"
        )
    return (possible - 1) // stride * stride + 1


def _size(
    settings: VideoSettings, card: ModelCard, frames: int, changes: list[str]
) -> tuple[int, int] | tuple[None, None]:
    """The nearest width and height, pixels, that the model can do; None where they are left to it, or to the image."""
    if settings.aspect_ratio is None and settings.resolution is None:
        return None, None
    ratio, area = _ratio(settings, card), float(card.defaults.width * card.defaults.height)
    if settings.resolution is not None:
        area = _short_side(settings.resolution) ** 2 * max(ratio, 1 / ratio)
    limits = card.limits
    possible = min(area, limits.max_pixel_frames / frames, limits.max_side**2 * min(ratio, 1 / ratio))
    width, height = (_multiple(side, card) for side in (sqrt(possible * ratio), sqrt(possible / ratio)))
    if settings.resolution is not None and possible < area:
        changes.append(f"resolution is {width}x{height}, not {settings.resolution}: {card.id} can make no more")
    if settings.aspect_ratio is not None and abs(width / height / ratio - 1) > _MENTIONED_DISTORTION:
        changes.append(
            f"aspect_ratio is that of {width}x{height}, not {settings.aspect_ratio}: sides of {card.id} are multiples "
            f"of {limits.size_multiple} pixels"
        )
    return width, height


def _ratio(settings: VideoSettings, card: ModelCard) -> float:
    """Width to height."""
    if settings.aspect_ratio is None:
        return card.defaults.width / card.defaults.height
    try:
        return ratio_of(settings.aspect_ratio)
    except InvalidRequest as error:
        raise InvalidRequest(error.message, named("aspect_ratio")) from None


def _short_side(resolution: str) -> int:
    """Pixels."""
    try:
        return SHORT_SIDES[resolution.lower()]
    except KeyError:
        raise InvalidRequest(f"must be one of {', '.join(SHORT_SIDES)}", named("resolution")) from None


def _multiple(side: float, card: ModelCard) -> int:
    """The nearest side that the model takes, in pixels, and that is no longer."""
    multiple = card.limits.size_multiple
    return max(multiple, int(min(side + 1e-6, card.limits.max_side)) // multiple * multiple)
