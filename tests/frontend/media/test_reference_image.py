import contextlib
import io
import random
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from frontend.errors import InvalidImage
from frontend.media.image_header import ImageError
from frontend.media.reference_image import ReferenceImage
from protocol.model_card import ModelCard
from tests.frontend.media.image_files import (
    IDAT,
    IEND,
    MAX_PIXELS,
    NOISE,
    decoded,
    file_of,
    fitted,
    png_chunk,
    png_header,
    png_of,
)
from tests.model_cards import image_to_video_card

# Kinds


@pytest.mark.parametrize(("format_name", "options"), [("PNG", {}), ("WEBP", {"lossless": True})])
def test_pixels_arrive_as_they_are(format_name: str, options: dict[str, Any]) -> None:
    np.testing.assert_array_equal(decoded(file_of(Image.fromarray(NOISE), format_name, **options)), NOISE)


@pytest.mark.parametrize("format_name", ["JPEG", "WEBP"])
def test_lossy_files_are_read(format_name: str) -> None:
    pixels = decoded(file_of(Image.new("RGB", (40, 24), (200, 100, 50)), format_name, quality=95))
    assert pixels.shape == (24, 40, 3)
    assert np.abs(pixels.astype(int) - (200, 100, 50)).max() <= 4


@pytest.mark.parametrize(
    ("image", "options", "colour"),
    [
        (Image.new("1", (4, 4), 1), {}, (255, 255, 255)),
        (Image.new("L", (4, 4), 77), {}, (77, 77, 77)),
        (Image.new("P", (4, 4), 1), {}, None),
        (Image.fromarray(np.full((4, 4), 200 * 257, np.uint16)), {}, (200, 200, 200)),
        (Image.new("RGBA", (4, 4), (10, 20, 30, 255)), {}, (10, 20, 30)),
        # Nothing of these is to be seen: white shows.
        (Image.new("RGBA", (4, 4), (10, 20, 30, 0)), {}, (255, 255, 255)),
        (Image.new("LA", (4, 4), (10, 0)), {}, (255, 255, 255)),
        (Image.new("L", (4, 4), 5), {"transparency": 5}, (255, 255, 255)),
        (Image.new("RGB", (4, 4), (1, 2, 3)), {"transparency": (1, 2, 3)}, (255, 255, 255)),
        (Image.new("P", (4, 4), 1), {"transparency": 1}, (255, 255, 255)),
        (Image.new("RGBA", (4, 4), (0, 0, 0, 51)), {}, (204, 204, 204)),
    ],
)
def test_every_kind_of_pixel_becomes_rgb(
    image: Image.Image, options: dict[str, Any], colour: tuple[int, int, int] | None
) -> None:
    if image.mode == "P":
        image.putpalette([0, 0, 0, 9, 8, 7])
    np.testing.assert_array_equal(decoded(file_of(image, **options)), np.full((4, 4, 3), colour or (9, 8, 7)))


def test_cmyk_becomes_rgb() -> None:
    pixels = decoded(file_of(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG", quality=95))
    assert np.abs(pixels.astype(int) - (255, 0, 0)).max() <= 4


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_of_a_camera_is_undone(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = file_of(Image.fromarray(NOISE), exif=exif)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(file))))
    image = ReferenceImage.open(file, MAX_PIXELS)
    assert (image.height, image.width) == expected.shape[:2]
    np.testing.assert_array_equal(decoded(file), expected)


@pytest.mark.parametrize("exif", [b"Exif\0\0garbage", b"", b"Exif\0\0II*\0\xff\xff\xff\xff"])
def test_broken_metadata_does_not_spoil_an_image(exif: bytes) -> None:
    np.testing.assert_array_equal(decoded(file_of(Image.fromarray(NOISE), exif=exif)), NOISE)


def test_the_previews_that_cameras_put_into_a_jpeg_are_no_animation() -> None:
    photo = Image.new("RGB", (32, 32), "red")
    file = file_of(photo, "MPO", save_all=True, append_images=[Image.new("RGB", (8, 8), "blue")])
    assert decoded(file).shape == (32, 32, 3)


# What is refused


PNG = file_of(Image.fromarray(NOISE))


def gif() -> bytes:
    return file_of(Image.new("P", (4, 4)), "GIF")


@pytest.mark.parametrize(
    "file",
    [
        b"hello",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"%PDF-1.7",
        b"\0" * 100,
        gif(),
        file_of(Image.new("RGB", (4, 4)), "BMP"),
        file_of(Image.new("RGB", (4, 4)), "TIFF"),
        b"\x89PNG\r\n\x1a\n",
        b"RIFF\x10\0\0\0WEBP",
        b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0" + b"\0" * 24,
        b"\xff\xd8",
        b"\x8aMNG\r\n\x1a\n" + b"\0" * 50,
        b"\0\0\0\x18ftypheic\0\0\0\0heicmif1",
        b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf",
        b"%PDF-1.7\n" + PNG,
        b"PK\x03\x04" + PNG,
        b"\n" + PNG,
        b"GIF89a" + PNG,
    ],
    ids=lambda file: repr(file[:8]),
)
def test_other_files_are_refused(file: bytes) -> None:
    with pytest.raises(InvalidImage, match=r"must be a PNG, JPEG or WebP image|truncated or broken"):
        ReferenceImage.open(file, MAX_PIXELS)


@pytest.mark.parametrize("behind", [b"PK\x05\x06" + b"\0" * 18, b"%PDF-1.7", b"<script>", PNG])
def test_what_is_behind_an_image_is_not_looked_at(behind: bytes) -> None:
    for format_name in ("PNG", "JPEG", "WEBP"):
        file = file_of(Image.fromarray(NOISE), format_name)
        np.testing.assert_array_equal(decoded(file + behind), decoded(file))


def test_an_empty_file_is_refused() -> None:
    with pytest.raises(InvalidImage, match="empty"):
        ReferenceImage.open(b"", MAX_PIXELS)


@pytest.mark.parametrize("format_name", ["PNG", "WEBP"])
def test_animations_are_refused(format_name: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    file = file_of(frames[0], format_name, save_all=True, append_images=frames[1:])
    with pytest.raises(InvalidImage, match="animated"):
        ReferenceImage.open(file, MAX_PIXELS)


@pytest.mark.parametrize("size", [(101, 100), (10_000, 10_000), (100_000, 100_000), (2**31 - 1, 1)])
def test_a_bomb_is_refused_by_its_header(size: tuple[int, int]) -> None:
    with pytest.raises(InvalidImage, match="at most 10,000 pixels"):
        ReferenceImage.open(png_of(png_header(*size), png_chunk(b"IDAT"), IEND), MAX_PIXELS)


def test_the_largest_image_is_taken() -> None:
    assert decoded(file_of(Image.new("RGB", (100, 100)))).shape == (100, 100, 3)


def test_a_bomb_of_metadata_is_not_looked_at() -> None:
    text = b"Comment\0\0" + zlib.compress(b"\0" * 80_000_000, 9)
    decoded(png_of(png_header(), png_chunk(b"zTXt", text), IDAT, IEND))


@pytest.mark.parametrize("format_name", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9])
def test_truncated_files_are_refused(format_name: str, kept: float) -> None:
    file = file_of(Image.fromarray(NOISE), format_name)
    with pytest.raises((InvalidImage, ImageError)):
        decoded(file[: int(len(file) * kept)])


@pytest.mark.parametrize("format_name", ["PNG", "JPEG", "WEBP"])
def test_whatever_is_broken_is_an_image_or_an_error_of_ours(format_name: str) -> None:
    chance = random.Random(0)
    file = file_of(Image.fromarray(NOISE), format_name, exif=b"Exif\0\0II*\0\x08\0\0\0\0\0")
    for _ in range(300):
        broken = bytearray(file)
        for _ in range(chance.randint(1, 8)):
            broken[chance.randrange(len(file))] = chance.randrange(256)
        with contextlib.suppress(InvalidImage, ImageError):
            ReferenceImage.open(bytes(broken), MAX_PIXELS)
            assert fitted(bytes(broken), 16, 16).shape == (16, 16, 3)


# Sizes


def image_of(width: int, height: int) -> ReferenceImage:
    return ReferenceImage(b"", width, height)


@pytest.fixture
def card() -> ModelCard:
    """832x480, multiples of 16, sides of at most 2048."""
    card = image_to_video_card()
    defaults = card.defaults.model_copy(update={"width": 832, "height": 480})
    return card.model_copy(update={"defaults": defaults, "limits": card.limits.model_copy(update={"max_side": 2048})})


@pytest.mark.parametrize(
    ("image", "asked", "size"),
    [
        ((832, 480), (None, None), (832, 480)),
        ((1664, 960), (None, None), (832, 480)),
        # diffusers: round(sqrt(832 * 480 * 3 / 4)) // 16 * 16, and the same with 4 / 3
        ((1024, 768), (None, None), (720, 544)),
        ((768, 1024), (None, None), (544, 720)),
        ((10_000, 10), (None, None), (2048, 16)),
        ((1, 60_000), (None, None), (16, 2048)),
        ((1024, 768), (640, None), (640, 480)),
        ((1024, 768), (None, 480), (640, 480)),
        ((1000, 768), (None, 480), (624, 480)),  # 625 rounded down
        ((10_000, 10), (640, None), (640, 16)),
        ((10_000, 10), (None, 640), (2048, 640)),
        ((1024, 768), (320, 320), (320, 320)),
    ],
)
def test_the_size_that_is_left_open_follows_the_image(
    card: ModelCard, image: tuple[int, int], asked: tuple[int | None, int | None], size: tuple[int, int]
) -> None:
    assert image_of(*image).size_for(card, *asked) == size


def test_the_image_covers_the_video_and_is_cropped_about_its_centre() -> None:
    bands = np.repeat(np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255]], np.uint8), 32, axis=0)
    wide = file_of(Image.fromarray(np.tile(bands, (32, 1, 1))))
    np.testing.assert_array_equal(fitted(wide, 32, 32), np.full((32, 32, 3), (0, 255, 0)))
    np.testing.assert_array_equal(fitted(wide, 64, 64)[:, 8:56], np.full((64, 48, 3), (0, 255, 0)))
    half = fitted(wide, 64, 32)
    assert half[0, 0].tolist() == [255, 0, 0]
    assert half[0, -1].tolist() == [0, 0, 255]
    np.testing.assert_array_equal(half[:, 16:48], np.full((32, 32, 3), (0, 255, 0)))


@pytest.mark.parametrize(
    ("size", "lost"), [((64, 48), 0), ((48, 48), 0.25), ((64, 24), 0.5), ((128, 96), 0), ((16, 48), 0.75)]
)
def test_the_crop_is_known(size: tuple[int, int], lost: float) -> None:
    assert image_of(64, 48).lost_by(*size) == pytest.approx(lost)
