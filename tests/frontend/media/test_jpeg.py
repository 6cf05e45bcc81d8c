"""JPEG: what is read of it, and what is refused as damaged. Within the coded pixels, only a lack of them shows."""

import io
import random
from typing import Any

import numpy as np
import pytest
from PIL import Image

from frontend.media import jpeg
from frontend.media.image_header import DamagedImage, ImageError, ImageHeader, UnsupportedImage
from tests.frontend.media.image_files import (
    UPLOAD_BYTES,
    decoded,
    file_of,
    fitted,
    jpeg_of,
    jpeg_parts,
    jpeg_segment,
    photo,
)

PHOTO = photo(90, 70)
WHOLE: dict[str, bytes] = {
    f"{mode} {options}": file_of(PHOTO.convert(mode), "JPEG", **options)
    for mode in ("L", "RGB", "CMYK")
    for options in (
        {},
        {"subsampling": 0, "quality": 100},
        {"subsampling": 1, "quality": 20, "optimize": True},
        {"restart_marker_blocks": 2},
        {"progressive": True},
        {"progressive": True, "subsampling": 0, "restart_marker_rows": 1},
    )
}
every_kind = pytest.mark.parametrize("file", WHOLE.values(), ids=WHOLE.keys())
PLAIN, PROGRESSIVE = WHOLE["RGB {}"], WHOLE["RGB {'progressive': True}"]
RESTARTING = WHOLE["RGB {'restart_marker_blocks': 2}"]


def marker_of(part: bytes) -> int:
    return part[1]


def without(file: bytes, *markers: int) -> bytes:
    return jpeg_of(*(part for part in jpeg_parts(file) if marker_of(part) not in markers))


def with_scan(file: bytes, change: Any) -> bytes:
    """The coded pixels of the last scan, changed."""
    *parts, scan = jpeg_parts(file)
    head = 2 + int.from_bytes(scan[2:4], "big")
    return jpeg_of(*parts, scan[:head] + change(scan[head:]))


# The header


@every_kind
def test_the_header_says_the_size(file: bytes) -> None:
    assert jpeg.read_header(file) == ImageHeader(90, 70)


def frame(kind: int = 0xC0, width: int = 8, height: int = 8, components: bytes = b"\1\x11\0") -> bytes:
    size = height.to_bytes(2, "big") + width.to_bytes(2, "big")
    return jpeg_segment(kind, b"\x08" + size + bytes([len(components) // 3]) + components)


SCAN = jpeg_segment(0xDA, b"\1\1\0\0\x3f\0") + b"\0" * 9


@pytest.mark.parametrize(
    "parts",
    [
        (),
        (SCAN,),
        (frame(width=0), SCAN),
        (frame(height=0), SCAN),
        (frame(), frame(), SCAN),
        (SCAN, frame()),
        (frame(components=b""), SCAN),
        (frame(components=b"\1\x11\0\2\x11\0"), SCAN),
        (frame(components=b"\1\x11\0" * 3), SCAN),
        (frame(components=b"\1\x01\0"), SCAN),
        (frame(components=b"\1\x15\0"), SCAN),
        (jpeg_segment(0xC0, b"\x08\0\x08\0\x08\1\1\x11"), SCAN),
        (jpeg_segment(0xC0, b"\x08"), SCAN),
        (b"\xff\xd8", frame(), SCAN),
        (b"\xff\xd0", frame(), SCAN),
        (b"\xff\x01", frame(), SCAN),
        (b"\xff\x00", frame(), SCAN),
        (b"junk", frame(), SCAN),
        (b"\xff\xe1\0\0", frame(), SCAN),
        (b"\xff\xe1\0\1", frame(), SCAN),
        (b"\xff\xe1\xff\xff", frame(), SCAN),
    ],
)
def test_a_wrong_header_is_refused(parts: tuple[bytes, ...]) -> None:
    with pytest.raises(DamagedImage):
        jpeg.read_header(jpeg_of(*parts))


@pytest.mark.parametrize("kind", [0xC3, 0xC5, 0xC6, 0xC7, 0xCB, 0xCD, 0xCE, 0xCF])
def test_lossless_and_hierarchical_files_are_refused_as_such(kind: int) -> None:
    with pytest.raises(UnsupportedImage, match="save the image as an ordinary JPEG"):
        jpeg.read_header(jpeg_of(frame(kind), SCAN))


def test_fill_bytes_before_a_marker_are_allowed() -> None:
    file = jpeg_of(*(b"\xff" * 5 + part for part in jpeg_parts(PLAIN)))
    np.testing.assert_array_equal(decoded(file), decoded(PLAIN))


# Damage


@every_kind
def test_what_is_whole_is_as_pillow_has_it(file: bytes) -> None:
    np.testing.assert_array_equal(decoded(file), np.asarray(Image.open(io.BytesIO(file)).convert("RGB")))


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (16, 16), (17, 33), (200, 5)])
@pytest.mark.parametrize("quality", [1, 50, 95, 100])
def test_the_last_pixels_of_a_file_are_never_missed(size: tuple[int, int], quality: int) -> None:
    """They are decoded without the marker that ends the image."""
    for mode in ("L", "RGB"):
        file = file_of(photo(*size).convert(mode), "JPEG", quality=quality)
        np.testing.assert_array_equal(decoded(file), np.asarray(Image.open(io.BytesIO(file)).convert("RGB")))


@every_kind
def test_truncated_anywhere_it_is_refused(file: bytes) -> None:
    for length in [*range(3, len(file), 7), len(file) - 2, len(file) - 1]:
        with pytest.raises(DamagedImage):
            fitted(file[:length], 8, 8)


@pytest.mark.parametrize("kept", [0, 0.02, 0.5, 0.9, 0.98])
@pytest.mark.parametrize("file", [PLAIN, RESTARTING, WHOLE["L {}"], WHOLE["CMYK {}"]])
def test_truncated_and_given_an_end_it_is_refused(file: bytes, kept: float) -> None:
    with pytest.raises(DamagedImage):
        fitted(with_scan(file, lambda coded: coded[: int(kept * len(coded))].rstrip(b"\xff")), 8, 8)


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("file", [PLAIN, WHOLE["L {}"], WHOLE["CMYK {}"]])
def test_junk_instead_of_coded_pixels_is_refused(file: bytes, seed: int) -> None:
    """They end too early or too late for the size."""
    chance = random.Random(seed)
    with pytest.raises(DamagedImage):
        fitted(with_scan(file, lambda coded: bytes(chance.randrange(255) for _ in coded)), 8, 8)


@pytest.mark.parametrize("scale", [1, 8])
def test_a_scan_that_is_too_long_is_refused(scale: int) -> None:
    """But not what cameras add to fill a block."""
    file = file_of(photo(90 * scale, 70 * scale), "JPEG", quality=90)
    assert fitted(with_scan(file, lambda coded: coded + b"\0" * 32), 8, 8).shape == (8, 8, 3)
    for more in (200, 100_000):
        with pytest.raises(DamagedImage):
            fitted(with_scan(file, lambda coded, more=more: coded + b"\0" * more), 8, 8)


@pytest.mark.parametrize("left_out", range(len([part for part in jpeg_parts(PROGRESSIVE) if marker_of(part) == 0xDA])))
def test_a_progressive_file_without_one_of_its_scans_is_refused(left_out: int) -> None:
    parts = jpeg_parts(PROGRESSIVE)
    scans = [number for number, part in enumerate(parts) if marker_of(part) == 0xDA]
    del parts[scans[left_out]]
    with pytest.raises(DamagedImage):
        fitted(jpeg_of(*parts), 8, 8)


def test_only_the_first_scans_of_a_progressive_file_are_too_few() -> None:
    parts = jpeg_parts(PROGRESSIVE)
    for number in range(1, len(parts)):
        with pytest.raises(DamagedImage):
            fitted(jpeg_of(*parts[:number]), 8, 8)


def test_restart_markers_have_to_be_there_in_their_order() -> None:
    def swapped(coded: bytes) -> bytes:
        return (
            coded.replace(b"\xff\xd1", b"\xff\xd9").replace(b"\xff\xd2", b"\xff\xd1").replace(b"\xff\xd9", b"\xff\xd2")
        )

    def one_less(coded: bytes) -> bytes:
        start, end = coded.index(b"\xff\xd6"), coded.index(b"\xff\xd0", coded.index(b"\xff\xd6"))
        return coded[:start] + coded[end:]

    for change in (swapped, one_less, lambda coded: coded.replace(b"\xff\xd3", b"")):
        with pytest.raises(DamagedImage):
            fitted(with_scan(RESTARTING, change), 8, 8)


@pytest.mark.parametrize(
    "file",
    [
        jpeg_of(),
        without(PLAIN, 0xDA),
        without(PLAIN, 0xC0),
        without(PLAIN, 0xDB),
        PLAIN[:-2],
        with_scan(PLAIN, lambda coded: b""),
        with_scan(PROGRESSIVE, lambda coded: b""),
        jpeg_of(frame(width=60_000, height=1000), SCAN),
        jpeg_of(frame(0xC2, 60_000, 1000), jpeg_segment(0xDA, b"\1\1\0\0\0\0") + b"\0" * 99),
        jpeg_of(frame(), jpeg_segment(0xDA, b"\1\2\0\0\x3f\0") + b"\0" * 9),
        jpeg_of(frame(), jpeg_segment(0xDA, b"\2\1\0\1\0\0\x3f\0") + b"\0" * 9),
        jpeg_of(frame(), jpeg_segment(0xDA, b"") + b"\0" * 9),
        jpeg_of(frame(), jpeg_segment(0xDA, b"\0\0\x3f\0") + b"\0" * 9),
        jpeg_of(frame(), jpeg_segment(0xDD, b"\1"), SCAN),
    ],
)
def test_what_is_damaged_is_refused(file: bytes) -> None:
    with pytest.raises(DamagedImage):
        fitted(file, 8, 8)


def test_what_follows_the_image_does_not_matter() -> None:
    for rest in (b"junk", b"\xff\xd9", PROGRESSIVE, b"\xff" * 100):
        np.testing.assert_array_equal(decoded(PLAIN + rest), decoded(PLAIN))


def test_metadata_is_not_decoded() -> None:
    """Not even where it is broken, or says that there are more images."""
    parts = jpeg_parts(PLAIN)
    metadata = [
        jpeg_segment(marker, head + b"\xff\xd8junk" * 9)
        for marker, head in [
            (0xE1, b"Exif\0\0"),
            (0xE2, b"ICC_PROFILE\0"),
            (0xE2, b"MPF\0"),
            (0xED, b"Photoshop 3.0\0"),
            (0xE0, b"JFXX\0"),
            (0xF0, b""),
            (0xFE, b""),
        ]
    ]
    np.testing.assert_array_equal(decoded(jpeg_of(*metadata, *parts[:-1], *metadata, parts[-1])), decoded(PLAIN))


def test_the_colours_that_adobe_means_are_kept() -> None:
    """Without APP14 libjpeg would take these for luminance and chroma."""
    file = file_of(PHOTO, "JPEG", keep_rgb=True, quality=95)
    assert any(marker_of(part) == 0xEE for part in jpeg_parts(file))
    assert np.abs(decoded(file).astype(int) - np.asarray(PHOTO)).mean() < 5


# Floods


@pytest.mark.parametrize("marker", [0xC4, 0xDB, 0xDD, 0xE0, 0xE1, 0xE2, 0xEE, 0xFE, 0xF5])
def test_a_flood_of_segments_is_not_waited_for(marker: int) -> None:
    data = b"\0\0" if marker == 0xDD else b""
    for where in (0, 1):
        parts = jpeg_parts(PLAIN)
        parts.insert(where * (len(parts) - 1), jpeg_segment(marker, data) * (UPLOAD_BYTES // 4))
        with pytest.raises(UnsupportedImage, match="more than 4,096 segments"):
            jpeg.read_header(jpeg_of(*parts))


@pytest.mark.parametrize(
    "flood", [b"\xff", b"\xff\0", b"\0", b"\xff\xd0", b"".join(bytes((0xFF, 0xD0 + number)) for number in range(8))]
)
def test_a_flood_of_bytes_is_gone_over_once(flood: bytes) -> None:
    """Pillow took a minute to skip 32 MB of fill bytes."""
    many = flood * (UPLOAD_BYTES // len(flood))
    for file in (b"\xff\xd8" + many, with_scan(RESTARTING, lambda coded: many)[:UPLOAD_BYTES]):
        with pytest.raises(ImageError):
            jpeg.checked(file)


def test_a_flood_of_scans_is_refused() -> None:
    def scan(first: int, last: int, bits: int) -> bytes:
        return jpeg_segment(0xDA, bytes((1, 1, 0, first, last, bits))) + b"\0" * 9

    coefficients = [scan(number, number, 0) for number in range(1, 64)]
    jpeg.checked(jpeg_of(frame(0xC2), scan(0, 0, 0), *coefficients))
    with pytest.raises(UnsupportedImage, match="more than 64 scans"):
        jpeg.checked(jpeg_of(frame(0xC2), scan(0, 0, 1), scan(0, 0, 0x10), *coefficients))


def test_scans_go_on_from_each_other() -> None:
    *parts, scan = jpeg_parts(PLAIN)
    with pytest.raises(DamagedImage):
        jpeg.checked(jpeg_of(*parts, scan, scan))
    *parts, scan = jpeg_parts(PROGRESSIVE)
    with pytest.raises(DamagedImage):
        jpeg.checked(jpeg_of(*parts, scan, scan))
