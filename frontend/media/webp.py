"""WebP files: their header, and whether they are whole."""

import struct
from collections.abc import Iterator
from typing import NamedTuple

from frontend.media.exif import UPRIGHT, orientation_of_exif, orientation_of_xmp
from frontend.media.image_header import DamagedImage, ImageHeader, UnsupportedImage

MAX_CHUNKS = 1024
"""a still image has at most seven, besides those of other programs"""

_EXTENDED_BYTES = 10
_ALPHA_FLAG, _ANIMATION_FLAG = 0x10, 0x02
_IMAGES = (b"VP8 ", b"VP8L")


class _Chunk(NamedTuple):
    kind: bytes
    data: memoryview


def matches(file: bytes) -> bool:
    return file[:4] == b"RIFF" and file[8:12] == b"WEBP"


def read_header(file: bytes) -> ImageHeader:
    """Walks over all chunks.

    Raises:
        DamagedImage: they are not what a WebP has to have.
        UnsupportedImage: there are more than `MAX_CHUNKS` of them.
    """
    chunks = list(_chunks(file))
    head = chunks[0]
    if head.kind in _IMAGES:
        return ImageHeader(*_size_of(head))
    if head.kind != b"VP8X" or len(head.data) != _EXTENDED_BYTES:
        raise DamagedImage("it begins neither with an image nor with what is in it")
    width, height = (int.from_bytes(head.data[at : at + 3], "little") + 1 for at in (4, 7))
    if head.data[0] & _ANIMATION_FLAG or any(chunk.kind in (b"ANIM", b"ANMF") for chunk in chunks):
        return ImageHeader(width, height, animated=True)
    images = [chunk for chunk in chunks if chunk.kind in _IMAGES]
    if len(images) != 1 or _size_of(images[0]) != (width, height):
        raise DamagedImage("it has no image of its size, or several")
    return ImageHeader(width, height, _orientation_of(chunks))


def checked(file: bytes) -> bytes:
    """The same image as a WebP without metadata. Whether its pixels are whole, libwebp finds out.

    Raises:
        DamagedImage, UnsupportedImage: as `read_header`; it is an animation.
    """
    if read_header(file).animated:
        raise UnsupportedImage("must be a still image, this one is animated")
    kept = []
    for chunk in _chunks(file):
        if chunk.kind == b"VP8X":
            kept.append(_chunk(b"VP8X", bytes((chunk.data[0] & _ALPHA_FLAG,)) + bytes(chunk.data[1:])))
        elif chunk.kind in (b"ALPH", *_IMAGES):
            kept.append(_chunk(chunk.kind, chunk.data))
            if chunk.kind in _IMAGES:
                break
    body = b"".join((b"WEBP", *kept))
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _chunks(file: bytes) -> Iterator[_Chunk]:
    """At least one. What follows them is no part of the image."""
    view = memoryview(file)
    end = 8 + int.from_bytes(file[4:8], "little")
    position = 12
    if end > len(file) or end < position + 8:
        raise DamagedImage("it ends before its end")
    for _ in range(MAX_CHUNKS):
        if position >= end:
            return
        if end - position < 8:
            raise DamagedImage("it ends within a chunk")
        kind, length = struct.unpack_from("<4sI", file, position)
        start = position + 8
        if start + length > end:
            raise DamagedImage(f"it ends within {kind!r}")
        yield _Chunk(kind, view[start : start + length])
        position = start + length + length % 2
    raise UnsupportedImage(f"the image has more than {MAX_CHUNKS:,} chunks, save it again")


def _size_of(image: _Chunk) -> tuple[int, int]:
    """Width and height in the header of the pixels. Raises DamagedImage."""
    data = image.data
    if image.kind == b"VP8 " and len(data) >= 10 and not data[0] & 1 and bytes(data[3:6]) == b"\x9d\x01\x2a":
        width, height = (size & 0x3FFF for size in struct.unpack_from("<HH", data, 6))
        if width and height:
            return width, height
    if image.kind == b"VP8L" and len(data) >= 5 and data[0] == 0x2F:
        (bits,) = struct.unpack_from("<I", data, 1)
        if bits >> 29 == 0:  # the version
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    raise DamagedImage("the pixels begin with something else than their size")


def _orientation_of(chunks: list[_Chunk]) -> int:
    metadata = {chunk.kind: chunk.data for chunk in reversed(chunks)}
    exif = orientation_of_exif(metadata.get(b"EXIF", b""))
    return exif or orientation_of_xmp(metadata.get(b"XMP ", b"")) or UPRIGHT


def _chunk(kind: bytes, data: bytes | memoryview) -> bytes:
    return b"".join((kind, struct.pack("<I", len(data)), data, b"\0" * (len(data) % 2)))
