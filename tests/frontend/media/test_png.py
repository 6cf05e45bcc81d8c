"""PNG: what is read of it, and what is refused as damaged. Every byte of a PNG is covered by a checksum."""

import io
import random
import struct
import time
import tracemalloc
import zlib

import numpy as np
import pytest
from PIL import Image

from frontend.media import png
from frontend.media.image_header import DamagedImage, ImageHeader, UnsupportedImage
from tests.frontend.media.image_files import (
    IDAT,
    IEND,
    NOISE,
    UPLOAD_BYTES,
    black,
    decoded,
    file_of,
    fitted,
    photo,
    png_chunk,
    png_header,
    png_of,
)

PHOTO = photo(17, 9)
PALETTE = PHOTO.quantize(16)
WHOLE = {
    "1": file_of(PHOTO.convert("1")),
    "L": file_of(PHOTO.convert("L")),
    "LA": file_of(PHOTO.convert("LA")),
    "I;16": file_of(Image.fromarray(NOISE.astype(np.uint16)[..., 0] * 257)),
    "P": file_of(PALETTE),
    "P, transparent": file_of(PALETTE, transparency=b"\0\x80\xff"),
    "RGB": file_of(PHOTO),
    "RGBA": file_of(PHOTO.convert("RGBA")),
}
every_kind = pytest.mark.parametrize("file", WHOLE.values(), ids=WHOLE.keys())


def rows(width: int, height: int, interlaced: bool, samples: int = 3) -> bytes:
    """What a PNG without filters compresses: the red channel is the column, the green one the row."""
    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    pixels = np.zeros((height, width, samples), np.uint8)
    pixels[..., 0], pixels[..., 1] = np.arange(width), np.arange(height)[:, None]
    content = b""
    for top, left, down, across in passes if interlaced else [(0, 0, 1, 1)]:
        content += b"".join(b"\0" + row.tobytes() for row in pixels[top::down, left::across] if row.size)
    return content


# The header


@pytest.mark.parametrize(
    ("depth", "colour"),
    [*((depth, 0) for depth in (1, 2, 4, 8, 16)), *((depth, 3) for depth in (1, 2, 4, 8))]
    + [(depth, colour) for depth in (8, 16) for colour in (2, 4, 6)],
)
def test_the_header_says_the_size(depth: int, colour: int) -> None:
    assert png.read_header(png_of(png_header(30, 20, depth, colour), IDAT, IEND)) == ImageHeader(30, 20)


@pytest.mark.parametrize(
    "header",
    [
        png_header(0, 8),
        png_header(8, 0),
        png_header(1 << 31, 8),
        png_header(8, 8, depth=3),
        png_header(8, 8, depth=0),
        png_header(8, 8, depth=16, colour=3),
        png_header(8, 8, depth=4, colour=2),
        png_header(8, 8, colour=1),
        png_header(8, 8, colour=7),
        png_chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 2, 1, 0, 0)),
        png_chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 1, 0)),
        png_chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 2)),
        png_chunk(b"IHDR", b"\0" * 12),
        png_chunk(b"IHDR", b"\0" * 14),
        png_chunk(b"IHDR"),
        b"",
    ],
)
def test_a_wrong_header_is_refused(header: bytes) -> None:
    with pytest.raises(DamagedImage):
        png.read_header(png_of(header, IDAT, IEND))


ACTL = png_chunk(b"acTL", struct.pack(">II", 2, 0))
FRAME = png_chunk(b"fdAT", b"\0\0\0\1" + black())


@pytest.mark.parametrize(
    "chunks", [(ACTL, IDAT), (IDAT, ACTL), (IDAT, FRAME), (png_chunk(b"acTL", b"\0\0\0\1" * 2), IDAT, FRAME)]
)
def test_an_animation_is_told_by_its_frames(chunks: tuple[bytes, ...]) -> None:
    assert png.read_header(png_of(png_header(), *chunks, IEND)).animated


def test_an_animation_of_one_frame_is_a_still_image() -> None:
    file = png_of(png_header(), png_chunk(b"acTL", b"\0\0\0\1" + b"\0" * 4), IDAT, IEND)
    assert decoded(file).shape == (8, 8, 3)


# Damage


@every_kind
def test_what_is_whole_is_as_pillow_has_it(file: bytes) -> None:
    image = Image.open(io.BytesIO(file))
    if image.mode == "I;16":
        expected = np.repeat(NOISE[..., :1], 3, axis=2)
    else:
        rgba = image.convert("RGBA")
        expected = np.asarray(Image.alpha_composite(Image.new("RGBA", image.size, "white"), rgba).convert("RGB"))
    np.testing.assert_allclose(decoded(file), expected, atol=1)


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize(("width", "height"), [(1, 1), (2, 9), (5, 5), (8, 8), (33, 17)])
def test_interlaced_images_are_whole_when_all_passes_are(width: int, height: int, interlaced: bool) -> None:
    content = rows(width, height, interlaced)
    header = png_header(width, height, interlaced=interlaced)
    pixels = decoded(png_of(header, png_chunk(b"IDAT", zlib.compress(content)), IEND))
    assert pixels[..., 0].tolist() == [[*range(width)]] * height
    assert pixels[:, 0, 1].tolist() == [*range(height)]
    for wrong in (content[:-1], content + b"\0"):
        with pytest.raises(DamagedImage):
            decoded(png_of(header, png_chunk(b"IDAT", zlib.compress(wrong)), IEND))


@every_kind
def test_truncated_anywhere_it_is_refused(file: bytes) -> None:
    for length in range(8, len(file)):
        with pytest.raises(DamagedImage):
            fitted(file[:length], 8, 8)


@every_kind
def test_one_wrong_bit_anywhere_is_refused(file: bytes) -> None:
    chance = random.Random(0)
    for position in range(8, len(file)):
        wrong = bytearray(file)
        wrong[position] ^= 1 << chance.randrange(8)
        with pytest.raises(DamagedImage):
            fitted(bytes(wrong), 8, 8)


PLTE = png_chunk(b"PLTE", bytes(range(30)))
STREAM = black()
DAMAGED = {
    "no pixels at all": (png_header(), IEND),
    "empty pixels": (png_header(), png_chunk(b"IDAT"), IEND),
    "no end": (png_header(), IDAT),
    "nothing but junk": (png_header(), png_chunk(b"IDAT", bytes(range(84))), IEND),
    "junk after a good beginning": (png_header(), png_chunk(b"IDAT", STREAM[:6] + b"\xff" * 9), IEND),
    "a row too few": (png_header(), png_chunk(b"IDAT", black(8, 7)), IEND),
    "a row too many": (png_header(), png_chunk(b"IDAT", black(8, 9)), IEND),
    "a stream that does not end": (png_header(), png_chunk(b"IDAT", STREAM[:-4]), IEND),
    "a wrong checksum of the stream": (png_header(), png_chunk(b"IDAT", STREAM[:-1] + b"\7"), IEND),
    "a wrong checksum of a chunk": (png_header(), IDAT[:-1] + b"\7", IEND),
    "a wrong checksum of metadata": (png_header(), png_chunk(b"tEXt", b"a\0b")[:-1] + b"\7", IDAT, IEND),
    "pixels before the header": (IDAT, png_header(), IEND),
    "two headers": (png_header(), png_header(), IDAT, IEND),
    "interrupted pixels": (
        png_header(),
        png_chunk(b"IDAT", STREAM[:5]),
        png_chunk(b"tEXt", b"a\0b"),
        png_chunk(b"IDAT", STREAM[5:]),
        IEND,
    ),
    "no palette": (png_header(colour=3), png_chunk(b"IDAT", black(samples=1)), IEND),
    "an empty palette": (png_header(colour=3), png_chunk(b"PLTE"), png_chunk(b"IDAT", black(samples=1)), IEND),
    "a palette too late": (png_header(colour=3), png_chunk(b"IDAT", black(samples=1)), PLTE, IEND),
    "two palettes": (png_header(colour=3), PLTE, PLTE, png_chunk(b"IDAT", black(samples=1)), IEND),
    "a palette cut off": (png_header(colour=3), png_chunk(b"PLTE", b"\0" * 7), IDAT, IEND),
    "a palette too long": (png_header(depth=1, colour=3), png_chunk(b"PLTE", b"\0" * 9), IDAT, IEND),
    "transparency cut off": (png_header(), png_chunk(b"tRNS", b"\0" * 5), IDAT, IEND),
    "an unknown filter": (png_header(), png_chunk(b"IDAT", zlib.compress((b"\5" + b"\0" * 24) * 8)), IEND),
    "a chunk that is none": (png_header(), png_chunk(b"t\0Xt"), IDAT, IEND),
    "a chunk without end": (png_header(), b"\xff\xff\xff\xff" + IDAT[4:], IEND),
}


@pytest.mark.parametrize("chunks", DAMAGED.values(), ids=DAMAGED.keys())
def test_what_is_damaged_is_refused(chunks: tuple[bytes, ...]) -> None:
    with pytest.raises(DamagedImage):
        fitted(png_of(*chunks), 8, 8)


@pytest.mark.parametrize(
    "chunks",
    [
        (png_header(), *(png_chunk(b"IDAT", STREAM[at : at + 1]) for at in range(len(STREAM))), IEND),
        (png_header(), png_chunk(b"IDAT"), IDAT, png_chunk(b"IDAT"), IEND),
        (png_header(), IDAT, IEND, b"trailing junk"),
        (png_header(), IDAT, IEND, png_header(), IEND),
        (png_header(), png_chunk(b"IDAT", STREAM + b"junk"), IEND),
        (png_header(), PLTE, IDAT, IEND),
        (png_header(), png_chunk(b"iCCP", b"junk"), png_chunk(b"gAMA"), png_chunk(b"eXIf", b"junk"), IDAT, IEND),
        (png_header(colour=0), PLTE, png_chunk(b"tRNS", b"\0\1"), png_chunk(b"IDAT", black(samples=1)), IEND),
    ],
)
def test_what_is_odd_and_whole_is_taken(chunks: tuple[bytes, ...]) -> None:
    assert not fitted(png_of(*chunks), 8, 8).any()


def test_transparent_grey_of_16_bits_becomes_white() -> None:
    pixels = zlib.compress(b"\0" + struct.pack(">4H", 0, 257 * 100, 257 * 200, 65535))
    file = png_of(
        png_header(4, 1, 16, 0), png_chunk(b"tRNS", struct.pack(">H", 25700)), png_chunk(b"IDAT", pixels), IEND
    )
    assert decoded(file)[0, :, 0].tolist() == [0, 255, 200, 255]


# Floods


@pytest.mark.parametrize("kind", [b"IDAT", b"aaAa", b"tEXt", b"zTXt", b"iTXt", b"eXIf", b"acTL", b"fdAT", b"tRNS"])
def test_a_flood_of_chunks_is_not_waited_for(kind: bytes) -> None:
    chunk = png_chunk(kind)
    file = png_of(png_header(), chunk * (UPLOAD_BYTES // len(chunk)), IDAT, IEND)
    with pytest.raises(UnsupportedImage, match="more than 16,384 chunks"):
        png.read_header(file)


def test_as_many_chunks_as_encoders_write_are_taken() -> None:
    empty = png_chunk(b"IDAT")
    assert fitted(png_of(png_header(), IDAT, empty * (png.MAX_CHUNKS - 3), IEND), 8, 8).shape == (8, 8, 3)
    with pytest.raises(UnsupportedImage):
        png.read_header(png_of(png_header(), IDAT, empty * (png.MAX_CHUNKS - 2), IEND))


@pytest.mark.parametrize("head", [(b"zTXt", b"Raw profile type exif\0\0"), (b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0")])
def test_a_flood_of_metadata_that_inflates_costs_as_much_as_one(head: tuple[bytes, bytes]) -> None:
    kind, keyword = head
    chunk = png_chunk(kind, keyword + zlib.compress(b"\0" * (1 << 20), 9))
    file = png_of(png_header(), chunk * (png.MAX_CHUNKS - 3), IDAT, IEND)
    began = time.monotonic()
    assert png.read_header(file) == ImageHeader(8, 8)
    assert time.monotonic() - began < 5  # inflating them all takes over ten


@pytest.mark.parametrize("keyword", [b"Raw profile type exif\0\0", b"XML:com.adobe.xmp\0\1\0\0\0", b"x\0\0"])
@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt", b"iCCP"])
def test_metadata_that_inflates_takes_no_memory(kind: bytes, keyword: bytes) -> None:
    bomb = png_chunk(kind, keyword + zlib.compress(b"\0" * 30_000_000, 9))
    tracemalloc.start()
    try:
        assert png.read_header(png_of(png_header(), bomb, IDAT, IEND)) == ImageHeader(8, 8)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


def test_pixels_that_inflate_are_counted_and_no_more() -> None:
    bomb = zlib.compress(b"\0" * 30_000_000, 9)
    with pytest.raises(DamagedImage, match="more pixels"):
        png.checked(png_of(png_header(), png_chunk(b"IDAT", bomb), IEND))
