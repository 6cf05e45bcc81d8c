"""Which way up an image is, wherever its metadata says so, and as Pillow understands it."""

import io
import struct

import pytest
from PIL import Image

from frontend.media.exif import inflated, orientation_of_exif, orientation_of_raw_profile, orientation_of_xmp
from frontend.media.image_file import read_header
from tests.frontend.media.image_files import (
    IDAT,
    IEND,
    file_of,
    jpeg_of,
    jpeg_parts,
    jpeg_segment,
    png_chunk,
    png_header,
    png_of,
    riff_chunk,
)


def exif_of(orientation: int, order: str = ">", kind: int = 3, count: int = 1, others: int = 0) -> bytes:
    """EXIF with `others` entries before the orientation."""
    value = struct.pack(order + {3: "Hxx"}.get(kind, "I"), orientation)
    entries = [struct.pack(f"{order}HHI", 0x0100, 3, 1) + b"\0" * 4] * others
    entries.append(struct.pack(f"{order}HHI", 0x0112, kind, count) + value)
    head = b"MM\0*\0\0\0\x08" if order == ">" else b"II*\0\x08\0\0\0"
    return head + struct.pack(f"{order}H", len(entries)) + b"".join(entries) + b"\0" * 4


XMP = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
RAW = b"\nexif\n  40\n" + (b"Exif\0\0" + exif_of(6)).hex("\n", 36).encode()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("order", [">", "<"])
@pytest.mark.parametrize("kind", [3, 4])
def test_every_orientation_is_read(orientation: int, order: str, kind: int) -> None:
    exif = exif_of(orientation, order, kind, others=5)
    assert orientation_of_exif(exif) == orientation_of_exif(b"Exif\0\0" + exif) == orientation
    assert Image.open(io.BytesIO(file_of(Image.new("L", (1, 1)), exif=exif))).getexif()[0x0112] == orientation


@pytest.mark.parametrize(
    "exif",
    [
        b"",
        b"Exif\0\0",
        b"junk" * 20,
        b"II*\0\xff\xff\xff\xff",
        b"II*\0\x08\0\0\0\xff\xff",
        exif_of(0),
        exif_of(9),
        exif_of(6, kind=2),
        exif_of(6, kind=5),
        exif_of(6, count=0),
        exif_of(6, count=1 << 31),
        exif_of(6)[:-8],
    ],
)
def test_what_cannot_be_read_says_nothing(exif: bytes) -> None:
    assert orientation_of_exif(exif) is None


def test_endless_entries_are_not_read() -> None:
    assert orientation_of_exif(exif_of(6, others=65_000)) is None


@pytest.mark.parametrize(
    ("xmp", "orientation"),
    [
        (XMP, 6),
        (b"<tiff:Orientation>8</tiff:Orientation>", 8),
        (b"<tiff:Orientation>9</tiff:Orientation>", None),
        (b"tiff:Orientation=6", None),
        (b"", None),
        (b"tiff:Orientation" * 2_000_000, None),
    ],
)
def test_the_orientation_of_xmp(xmp: bytes, orientation: int | None) -> None:
    assert orientation_of_xmp(xmp) == orientation


@pytest.mark.parametrize("text", [b"", b"\n\n\nxyz", b"\n\n\n0", b"\n" * 1000, "\n\n\nü".encode(), b"\n\n\n00"])
def test_a_raw_profile_that_is_none_says_nothing(text: bytes) -> None:
    assert orientation_of_raw_profile(text) is None


def test_what_does_not_inflate_is_empty() -> None:
    assert inflated(b"junk") == b""


PLAIN = Image.new("RGB", (8, 8))
PARTS = jpeg_parts(file_of(PLAIN, "JPEG"))
EXIF_SEGMENT = jpeg_segment(0xE1, b"Exif\0\0" + exif_of(6))
XMP_SEGMENT = jpeg_segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + XMP)
ITXT = b"XML:com.adobe.xmp\0\0\0en\0\0" + XMP


@pytest.mark.parametrize(
    "file",
    [
        png_of(png_header(), png_chunk(b"eXIf", exif_of(6)), IDAT, IEND),
        png_of(png_header(), IDAT, png_chunk(b"eXIf", exif_of(6)), IEND),
        png_of(png_header(), png_chunk(b"iTXt", ITXT), IDAT, IEND),
        png_of(png_header(), png_chunk(b"tEXt", b"Raw profile type exif\0" + RAW), IDAT, IEND),
        jpeg_of(EXIF_SEGMENT, *PARTS),
        jpeg_of(*PARTS[:-1], EXIF_SEGMENT, PARTS[-1]),
        jpeg_of(XMP_SEGMENT, *PARTS),
        file_of(PLAIN, "WEBP", exif=exif_of(6)),
        file_of(PLAIN, "WEBP", exif=b"Exif\0\0" + exif_of(6)),
        file_of(PLAIN, "WEBP", xmp=XMP),
        file_of(PLAIN, "MPO", exif=b"Exif\0\0" + exif_of(6), save_all=True, append_images=[Image.new("L", (8, 8))]),
    ],
)
def test_it_is_found_wherever_a_format_has_it(file: bytes) -> None:
    assert read_header(file).orientation == 6
    assert Image.open(io.BytesIO(file)).getexif().get(0x0112) == 6


@pytest.mark.parametrize(
    "file",
    [
        jpeg_of(*PARTS, EXIF_SEGMENT),
        jpeg_of(*PARTS) + jpeg_of(EXIF_SEGMENT, *PARTS),
        png_of(png_header(), IDAT, IEND, png_chunk(b"eXIf", exif_of(6))),
        file_of(PLAIN, "WEBP") + riff_chunk(b"EXIF", exif_of(6)),
    ],
)
def test_it_is_not_looked_for_behind_the_image(file: bytes) -> None:
    assert read_header(file).orientation == 1
