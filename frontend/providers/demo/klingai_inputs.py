"""What KlingAI makes of the fields of a request, and which it refuses."""

import base64
import io
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from PIL import Image

from frontend.providers.request import size_of

STATUSES = {
    **dict.fromkeys((1000, 1001, 1002, 1003, 1004), 401),
    **dict.fromkeys((1100, 1101, 1102, 1302, 1303, 1304), 429),
    1103: 403,
    **dict.fromkeys((1200, 1201, 1300, 1301), 400),
    **dict.fromkeys((1202, 1203), 404),
    5000: 500,
    5001: 503,
    5002: 504,
}
"""of HTTP, by code"""

_COMMON = {"prompt", "negative_prompt", "cfg_scale", "watermark_info", "external_task_id"}
_MADE = {"model_name", "model", "mode", "sound", "duration"}  # `model` is of old and ignored
FIELDS = {
    "text2video": _COMMON | _MADE | {"aspect_ratio"},
    "image2video": _COMMON | _MADE | {"image", "image_tail"},
    "video-extend": _COMMON | {"video_id"},
}
_UNITS = {
    "kling-v1": ("1", "3.5"),
    "kling-v1-5": ("2", "3.5"),
    "kling-v1-6": ("2", "3.5"),
    "kling-v2-master": ("10", "10"),
    "kling-v2-1": ("2", "3.5"),
    "kling-v2-1-master": ("10", "10"),
    "kling-v2-5-turbo": ("1.5", "2.5"),
    "kling-v2-6": ("1.5", "2.5"),
    "kling-v3": ("3", "4"),
}
"""for 5 seconds without sound in mode std and pro"""
_SOUND_FACTORS = {"kling-v2-6": Decimal(2), "kling-v3": Decimal("1.5")}
_FROM_IMAGES_ALONE = ("kling-v1-5", "kling-v2-1")
_EXTENDED = ("kling-v1", "kling-v1-5", "kling-v1-6")
_EXTENSION_SECONDS, _LONGEST_SECONDS, _KEPT_SECONDS = 5, 180, 30 * 86400
_MAX_IMAGE_BYTES, _SHORTEST_SIDE, _WIDEST = 10 * 2**20, 300, 2.5


class Refused(Exception):
    """The request is not taken."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Order:
    """A video that is to be made."""

    model: str
    mode: str
    seconds: int
    """all of it, with what it extends"""
    size: tuple[int, int]
    units: Decimal
    """that it costs"""
    parent: "Order | None" = None
    """what it extends"""
    made_at: float = field(default_factory=time.time)


def order_of(route: str, inputs: Any, find: Callable[[str], Order | None]) -> Order:
    """What a request asks for.

    Args:
        find: gives a video that is done by its id.

    Raises:
        Refused: as the service does.
    """
    if not isinstance(inputs, dict):
        raise Refused(1200, "request body must be an object")
    if unknown := set(inputs) - FIELDS[route]:
        raise Refused(1201, f"unknown parameter: {', '.join(sorted(unknown))}")
    for name in ("prompt", "negative_prompt"):
        if not isinstance(inputs.get(name, ""), str) or len(inputs.get(name, "")) > 2500:
            raise Refused(1201, f"{name} must be a string of at most 2500 characters")
    if not isinstance(inputs.get("watermark_info", {}), dict):
        raise Refused(1201, "watermark_info must be an object")
    if route == "video-extend":
        return _extension(inputs, find)
    if route == "text2video" and not inputs.get("prompt"):
        raise Refused(1201, "prompt can not be empty")
    model = str(inputs.get("model_name", "kling-v1"))
    if model not in _UNITS or (route == "text2video" and model in _FROM_IMAGES_ALONE):
        raise Refused(1203, f"model {model} is not supported")
    mode = _one_of(inputs, "mode", ("std", "pro"))
    seconds = _one_of(inputs, "duration", tuple(map(str, range(3, 16))) if model == "kling-v3" else ("5", "10"), "5")
    sound = _one_of(inputs, "sound", ("off", "on")) == "on"
    if sound and model not in _SOUND_FACTORS:
        raise Refused(1201, f"sound is not supported by {model}")
    _check_scale(inputs, model)
    size = size_of("1080p" if mode == "pro" else "720p", _one_of(inputs, "aspect_ratio", ("16:9", "9:16", "1:1")))
    if route == "image2video":
        size = _image_size(inputs, size)
    return Order(model, mode, int(seconds), size, _units(model, mode, int(seconds), sound))


def _extension(inputs: dict[str, Any], find: Callable[[str], Order | None]) -> Order:
    source = find(str(inputs.get("video_id")))
    if source is None:
        raise Refused(1203, f"video {inputs.get('video_id')} not found")
    if source.model not in _EXTENDED:
        raise Refused(1201, f"videos of {source.model} can not be extended")
    if source.model == "kling-v1" and {"negative_prompt", "cfg_scale"} & set(inputs):
        raise Refused(1201, "kling-v1 takes neither negative_prompt nor cfg_scale here")
    if source.made_at < time.time() - _KEPT_SECONDS:
        raise Refused(1201, "video_id is of a video that is older than 30 days")
    _check_scale(inputs, source.model)
    seconds = source.seconds + _EXTENSION_SECONDS
    if seconds > _LONGEST_SECONDS:
        raise Refused(1201, "the video would be longer than 3 minutes")
    units = _units(source.model, source.mode, _EXTENSION_SECONDS, False)
    return Order(source.model, source.mode, seconds, source.size, units, parent=source)


def _one_of(inputs: dict[str, Any], name: str, allowed: tuple[str, ...], default: str | None = None) -> str:
    value = inputs.get(name, default or allowed[0])
    if value not in allowed:
        raise Refused(1201, f"{name} value '{value}' is invalid, must be one of {', '.join(allowed)}")
    return str(value)


def _check_scale(inputs: dict[str, Any], model: str) -> None:
    if "cfg_scale" not in inputs:
        return
    scale = inputs["cfg_scale"]
    if model.startswith("kling-v2") or not isinstance(scale, int | float) or not 0 <= scale <= 1:
        raise Refused(1201, f"cfg_scale value '{scale}' is invalid for {model}")


def _units(model: str, mode: str, seconds: int, sound: bool) -> Decimal:
    std, pro = _UNITS[model]
    factor = _SOUND_FACTORS[model] if sound else Decimal(1)
    return (Decimal(pro if mode == "pro" else std) * seconds / 5 * factor).normalize()


def _image_size(inputs: dict[str, Any], unknown: tuple[int, int]) -> tuple[int, int]:
    """Width and height of the image, or `unknown` where it is behind a URL."""
    given = {name: inputs[name] for name in ("image", "image_tail") if inputs.get(name)}
    if not given:
        raise Refused(1201, "image and image_tail can not both be empty")
    sizes = [_size_of_image(name, value, unknown) for name, value in given.items()]
    return sizes[0]


def _size_of_image(name: str, value: Any, unknown: tuple[int, int]) -> tuple[int, int]:
    if isinstance(value, str) and value.startswith(("http://", "https://")):
        return unknown
    try:
        content = base64.b64decode(value, validate=True)
        with Image.open(io.BytesIO(content), formats=("JPEG", "PNG")) as image:
            width, height = image.size
    except (TypeError, ValueError, OSError, Image.DecompressionBombError):
        raise Refused(1201, f"{name} is neither a URL nor JPEG or PNG in base64") from None
    if len(content) > _MAX_IMAGE_BYTES:
        raise Refused(1201, f"{name} is larger than 10 MB")
    if min(width, height) < _SHORTEST_SIDE or max(width, height) > _WIDEST * min(width, height):
        raise Refused(1201, f"{name} must have 300 px a side and a ratio of 1:2.5 to 2.5:1")
    return width, height
