"""PNG files: their header, and whether they are whole."""

import re
import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from frontend.media.exif import (
    UPRIGHT,
    inflated,
    orientation_of_exif,
    orientation_of_raw_profile,
    orientation_of_xmp,
)
from frontend.media.image_header import DamagedImage, ImageHeader, UnsupportedImage

SIGNATURE = b"\x89PNG\r\n\x1a\n"

MAX_CHUNKS = 16_384
"""libpng writes pixels in chunks of 8 kB: 4,096 of them in the largest upload"""
_HEADER_BYTES = 13
_FRAMING_BYTES = 12  # of a chunk: its length, kind and checksum
_CHUNK_KIND = re.compile(rb"[A-Za-z]{4}")
_MAX_KEYWORD_BYTES = 80
_XMP = b"XML:com.adobe.xmp"
_RAW_PROFILE = b"Raw profile type exif"
_PIECE_BYTES = 1 << 16
_MAX_INFLATED_BYTES = 1 << 20

_PALETTE = 3
# Samples of a pixel, and the bits that each may have, by colour type.
_SAMPLES = {0: 1, 2: 3, _PALETTE: 1, 4: 2, 6: 4}
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), _PALETTE: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_TRANSPARENCY_BYTES = {0: (2,), 2: (6,), _PALETTE: range(1, 257)}
# First row and column, and the steps between rows and columns, of the passes of an interlaced image.
_PASSES = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))


class _Chunk(NamedTuple):
    kind: bytes
    data: memoryview
    checked: memoryview
    """what the checksum is of"""
    checksum: int


class _Format(NamedTuple):
    width: int
    height: int
    depth: int
    colour: int
    interlaced: bool


def read_header(file: bytes) -> ImageHeader:
    """Walks over all chunks, of which it looks at the small ones only.

    Raises:
        DamagedImage: the chunks are not what a PNG has to have, in the order that it has to have them.
        UnsupportedImage: there are more than `MAX_CHUNKS` chunks.
    """
    chunks = _chunks(file)
    form = _format_of(next(chunks))
    animated = False
    metadata: dict[bytes, _Chunk] = {}  # the first of each, so that a flood of them costs no more than one
    for chunk in chunks:
        match chunk.kind:
            case b"acTL":
                animated |= len(chunk.data) >= 4 and int.from_bytes(chunk.data[:4], "big") > 1
            case b"fdAT":
                animated = True
            case b"eXIf":
                metadata.setdefault(chunk.kind, chunk)
            case b"iTXt" | b"tEXt" | b"zTXt":
                keyword = bytes(chunk.data[:_MAX_KEYWORD_BYTES]).split(b"\0")[0]
                if keyword in (_XMP, _RAW_PROFILE):
                    metadata.setdefault(keyword, chunk)
    return ImageHeader(form.width, form.height, _orientation_of(metadata), animated)


def checked(file: bytes) -> bytes:
    """The same image as a PNG without metadata, after every checksum and the length of the pixels were checked.

    Raises:
        DamagedImage: one of them is wrong, and as `read_header`.
        UnsupportedImage: as `read_header`.
    """
    chunks = list(_chunks(file))
    for chunk in chunks:
        if zlib.crc32(chunk.checked) != chunk.checksum:
            raise DamagedImage(f"the checksum of {chunk.kind!r} is wrong")
    form = _format_of(chunks[0])
    pixels = [chunk.data for chunk in chunks if chunk.kind == b"IDAT"]
    _check_pixels(pixels, _inflated_bytes(form))
    kept = [_chunk(b"IHDR", chunks[0].data), *_colours(chunks, form)]
    return b"".join([SIGNATURE, *kept, _chunk(b"IDAT", b"".join(pixels)), _chunk(b"IEND", b"")])


def _chunks(file: bytes) -> Iterator[_Chunk]:
    """From IHDR to IEND. What follows is no part of the image."""
    view = memoryview(file)
    position = len(SIGNATURE)
    kind = last = b""
    seen: set[bytes] = set()
    for _ in range(MAX_CHUNKS):
        if len(file) - position < _FRAMING_BYTES:
            raise DamagedImage("it ends before IEND")
        length, kind = struct.unpack_from(">I4s", file, position)
        start = position + 8
        end = start + length
        if len(file) - 4 < end:
            raise DamagedImage(f"it ends within {kind!r}")
        if not _CHUNK_KIND.fullmatch(kind):
            raise DamagedImage(f"{kind!r} is not the kind of a chunk")
        _check_order(kind, last, seen)
        (checksum,) = struct.unpack_from(">I", file, end)
        yield _Chunk(kind, view[start:end], view[start - 4 : end], checksum)
        if kind == b"IEND":
            return
        seen.add(kind)
        last = kind
        position = end + 4
    raise UnsupportedImage(f"the image has more than {MAX_CHUNKS:,} chunks, save it again")


def _check_order(kind: bytes, last: bytes, seen: set[bytes]) -> None:
    if (kind == b"IHDR") != (not last):
        raise DamagedImage("IHDR must be the first chunk, and only that")
    if kind == b"IDAT" and last != b"IDAT" and b"IDAT" in seen:
        raise DamagedImage("IDAT is interrupted")
    if kind == b"PLTE" and seen & {b"PLTE", b"IDAT"}:
        raise DamagedImage("PLTE must come once, before IDAT")
    if kind == b"IEND" and b"IDAT" not in seen:
        raise DamagedImage("there is no IDAT")


def _format_of(chunk: _Chunk) -> _Format:
    if len(chunk.data) != _HEADER_BYTES:
        raise DamagedImage("IHDR has the wrong length")
    width, height, depth, colour, compression, filtering, interlace = struct.unpack(">IIBBBBB", chunk.data)
    if not (0 < width < 1 << 31 and 0 < height < 1 << 31):
        raise DamagedImage("its size is not positive")
    if depth not in _DEPTHS.get(colour, ()):
        raise DamagedImage(f"there are no {depth} bits in colour type {colour}")
    if compression or filtering or interlace > 1:
        raise DamagedImage("compression, filter or interlace method are unknown")
    return _Format(width, height, depth, colour, bool(interlace))


def _colours(chunks: list[_Chunk], form: _Format) -> Iterator[bytes]:
    """The palette and what is transparent, where the colour type has them. Raises DamagedImage."""
    early = {}
    for chunk in chunks:
        if chunk.kind == b"IDAT":
            break
        early[chunk.kind] = chunk.data
    if form.colour == _PALETTE:
        palette = early.get(b"PLTE", b"")
        if not palette or len(palette) % 3 or len(palette) > 3 << form.depth:
            raise DamagedImage("PLTE is missing or has the wrong length")
        yield _chunk(b"PLTE", palette)
    transparency = early.get(b"tRNS")
    if transparency is not None and form.colour in _TRANSPARENCY_BYTES:
        if len(transparency) not in _TRANSPARENCY_BYTES[form.colour]:
            raise DamagedImage("tRNS has the wrong length")
        yield _chunk(b"tRNS", transparency)


def _inflated_bytes(form: _Format) -> int:
    """Of all rows, each of which begins with the number of its filter."""
    bits = _SAMPLES[form.colour] * form.depth
    total = 0
    for row, column, rows, columns in _PASSES if form.interlaced else ((0, 0, 1, 1),):
        width = (form.width - column + columns - 1) // columns
        height = (form.height - row + rows - 1) // rows
        if width > 0 and height > 0:
            total += height * (1 + (width * bits + 7) // 8)
    return total


def _check_pixels(pixels: list[memoryview], expected: int) -> None:
    """Inflate them and throw them away: Pillow takes a stream that ends early, and leaves what it lacks black."""
    inflate = zlib.decompressobj()  # which checks the stream's own checksum at its end
    total = 0
    try:
        for data in pixels:
            for start in range(0, len(data), _PIECE_BYTES):
                piece: bytes | memoryview = data[start : start + _PIECE_BYTES]
                while piece and not inflate.eof:
                    total += len(inflate.decompress(piece, _MAX_INFLATED_BYTES))
                    if total > expected:
                        raise DamagedImage("there are more pixels than its size says")
                    piece = inflate.unconsumed_tail
        while not inflate.eof and (rest := inflate.decompress(b"", _MAX_INFLATED_BYTES)):
            total += len(rest)
    except zlib.error as error:
        raise DamagedImage(f"its pixels are broken: {error}") from None
    if total != expected or not inflate.eof:
        raise DamagedImage("there are fewer pixels than its size says")


def _orientation_of(metadata: dict[bytes, _Chunk]) -> int:
    """In the order in which Pillow believes them."""
    found = None
    if exif := metadata.get(b"eXIf"):
        found = orientation_of_exif(exif.data)
    elif profile := metadata.get(_RAW_PROFILE):
        text = profile.data[len(_RAW_PROFILE) + 1 :]
        found = orientation_of_raw_profile(inflated(text[1:]) if profile.kind == b"zTXt" else bytes(text))
    if not found and (xmp := metadata.get(_XMP)):
        found = _orientation_of_xmp(xmp.data[len(_XMP) + 1 :])
    return found or UPRIGHT


def _orientation_of_xmp(text: memoryview) -> int | None:
    """Of an iTXt chunk: whether it is compressed, how, the language, the translated keyword, the text."""
    packet = bytes(text[2:]).split(b"\0", 2)[-1]
    return orientation_of_xmp(inflated(packet) if bytes(text[:1]) == b"\1" else packet)


def _chunk(kind: bytes, data: bytes | memoryview) -> bytes:
    checksum = zlib.crc32(data, zlib.crc32(kind))
    return b"".join((struct.pack(">I", len(data)), kind, data, struct.pack(">I", checksum)))
