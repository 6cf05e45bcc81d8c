"""A PNG, JPEG or WebP file, told by its first bytes: what its header says, and what of it is decoded."""

from types import ModuleType
from typing import Literal, cast

from frontend.media import jpeg, png, webp
from frontend.media.image_header import ImageHeader, UnknownFormat

Format = Literal["PNG", "JPEG", "WEBP"]
_MODULES: dict[Format, ModuleType] = {"PNG": png, "JPEG": jpeg, "WEBP": webp}


def format_of(file: bytes) -> Format:
    """Raises UnknownFormat."""
    if file.startswith(png.SIGNATURE):
        return "PNG"
    if file.startswith(jpeg.SIGNATURE):
        return "JPEG"
    if webp.matches(file):
        return "WEBP"
    raise UnknownFormat


def read_header(file: bytes) -> ImageHeader:
    """Decodes no pixel, copies nothing, and looks at a bounded number of chunks: milliseconds for any file.

    Raises:
        ImageError: it is none of the three, damaged, or of a kind that is not decoded.
    """
    return cast(ImageHeader, _MODULES[format_of(file)].read_header(file))


def checked(file: bytes) -> bytes:
    """What there is to decode of the file, as a file of its format: the pixels and what their colours are.

    Everything else has been removed, and damage that shows without decoding has been looked for, in a time that grows
    with the file and its number of pixels.

    Raises:
        ImageError: as `read_header`, or something is missing or was changed.
    """
    return cast(bytes, _MODULES[format_of(file)].checked(file))
