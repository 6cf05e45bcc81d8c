"""WebP: what is read of it, and what is refused as damaged."""

import contextlib
import io
import random
import struct

import numpy as np
import pytest
from PIL import Image

from frontend.media import webp
from frontend.media.image_header import DamagedImage, ImageError, ImageHeader, UnsupportedImage
from tests.frontend.media.image_files import (
    UPLOAD_BYTES,
    decoded,
    file_of,
    fitted,
    photo,
    riff_chunk,
    webp_chunks,
    webp_of,
)

PHOTO = photo(60, 44)
CLEAR = PHOTO.convert("RGBA")
CLEAR.putalpha(photo(60, 44).convert("L"))
METADATA = {"exif": b"Exif\0\0II*\0\x08\0\0\0\0\0", "xmp": b"<x/>", "icc_profile": b"profile"}
WHOLE = {
    f"{name} {options}": file_of(image, "WEBP", **options)
    for name, image in (("opaque", PHOTO), ("transparent", CLEAR))
    for options in ({}, {"lossless": True}, METADATA, {"lossless": True} | METADATA)
}
every_kind = pytest.mark.parametrize("file", WHOLE.values(), ids=WHOLE.keys())
LOSSY, LOSSLESS = WHOLE["opaque {}"], WHOLE["opaque {'lossless': True}"]
(VP8,), (VP8L,) = webp_chunks(LOSSY), webp_chunks(LOSSLESS)


def extended(width: int = 60, height: int = 44, flags: int = 0) -> bytes:
    sides = b"".join((side - 1).to_bytes(3, "little") for side in (width, height))
    return riff_chunk(b"VP8X", bytes((flags, 0, 0, 0)) + sides)


@every_kind
def test_the_header_says_the_size(file: bytes) -> None:
    assert webp.read_header(file) == ImageHeader(60, 44)


@every_kind
def test_what_is_whole_is_as_pillow_has_it(file: bytes) -> None:
    rgba = Image.open(io.BytesIO(file)).convert("RGBA")
    expected = np.asarray(Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB"))
    np.testing.assert_allclose(decoded(file), expected, atol=1)


@every_kind
def test_truncated_anywhere_it_is_refused(file: bytes) -> None:
    for length in range(12, len(file), 3):
        with pytest.raises(DamagedImage):
            fitted(file[:length], 8, 8)
        shorter = bytearray(file[:length])  # and says so
        shorter[4:8] = struct.pack("<I", length - 8)
        if length < len(webp.checked(file)):
            with pytest.raises(DamagedImage):
                fitted(bytes(shorter), 8, 8)


@every_kind
def test_whatever_is_changed_is_an_image_or_refused(file: bytes) -> None:
    chance = random.Random(0)
    for _ in range(200):
        changed = bytearray(file)
        for _ in range(chance.randint(1, 5)):
            changed[chance.randrange(12, len(file))] = chance.randrange(256)
        with contextlib.suppress(ImageError):
            assert fitted(bytes(changed), 8, 8).shape == (8, 8, 3)


@pytest.mark.parametrize(
    "file",
    [
        webp_of(),
        webp_of(riff_chunk(b"VP8 ")),
        webp_of(riff_chunk(b"VP8L")),
        webp_of(riff_chunk(b"VP8L", b"\x2f" + b"\xff" * 4)),
        webp_of(riff_chunk(b"VP8 ", b"\x31\0\0\x9d\x01\x2a\0\0\0\0")),
        webp_of(riff_chunk(b"VP8 ", b"\x30\0\0\x9d\x01\x2a\0\0\x08\0")),
        webp_of(riff_chunk(b"VP8X", b"\0" * 9), VP8),
        webp_of(extended()),
        webp_of(extended(61), VP8),
        webp_of(extended(), VP8, VP8),
        webp_of(extended(), VP8, VP8L),
        webp_of(riff_chunk(b"EXIF"), VP8),
        webp_of(VP8[:-40]),
        webp_of(VP8L[:8] + b"\0" * (len(VP8L) - 8)),
        webp_of(VP8L[:13] + b"\xff" * (len(VP8L) - 13)),
    ],
)
def test_what_is_damaged_is_refused(file: bytes) -> None:
    with pytest.raises(DamagedImage):
        fitted(file, 8, 8)


def test_what_is_odd_and_whole_is_taken() -> None:
    for file in (
        LOSSY + b"trailing junk",
        webp_of(VP8, riff_chunk(b"junk", b"junk")),
        webp_of(extended(), riff_chunk(b"junk", b"odd"), VP8, riff_chunk(b"EXIF", b"junk")),
        webp_of(extended(flags=0x2C), VP8),  # announces metadata that it has not
    ):
        np.testing.assert_array_equal(decoded(file), decoded(LOSSY))


@pytest.mark.parametrize(
    "chunks",
    [(extended(flags=0x02), VP8), (extended(), riff_chunk(b"ANIM", b"\0" * 6), VP8), (extended(), riff_chunk(b"ANMF"))],
)
def test_animations_are_told_by_their_chunks(chunks: tuple[bytes, ...]) -> None:
    assert webp.read_header(webp_of(*chunks)).animated
    with pytest.raises(UnsupportedImage, match="animated"):
        webp.checked(webp_of(*chunks))


@pytest.mark.parametrize("kind", [b"junk", b"EXIF", b"ALPH", b"VP8 ", b"ICCP"])
def test_a_flood_of_chunks_is_not_waited_for(kind: bytes) -> None:
    with pytest.raises(UnsupportedImage, match="more than 1,024 chunks"):
        webp.read_header(webp_of(extended(), riff_chunk(kind) * (UPLOAD_BYTES // 8), VP8))
