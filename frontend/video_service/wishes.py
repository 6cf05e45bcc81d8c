"""What of a request is not done as it was asked for: it is told, or refused."""

from frontend.schemas.video_service import VideoSettings
from protocol.errors import InvalidRequest

_UNTAKEN = ("person_generation", "compression_quality", "reference_images", "last_frame", "mask")
"""settings that clients of the service send, and that no model here takes"""


def named(setting: str) -> str:
    """A setting of the video, as errors call it."""
    return f"settings.video.{setting}"


def untaken(settings: VideoSettings, model: str, *more: str) -> list[str]:
    """A sentence for each setting that is asked for and has no effect on the model.

    Args:
        more: settings that other models heed.
    """
    names = [name for name in (*_UNTAKEN, *more) if getattr(settings, name) not in (None, False)]
    return [f"{name} has no effect: {model} does not take it" for name in names]


def check_strict(settings: VideoSettings, changes: list[str]) -> None:
    """Raises InvalidRequest where the request is strict, and something is done otherwise than asked for."""
    if settings.strict and changes:
        raise InvalidRequest(f"is set, and {'; '.join(changes)}", named("strict"))
