import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from frontend.media.image_encoder import WEBP_MAX_SIDE, ImageEncoder, ImageFormat, SingleFrameEncoder

FORMATS: list[ImageFormat] = ["png", "jpeg", "webp"]


def noise() -> NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 256, (33, 48, 3), np.uint8)


def gradient() -> NDArray[np.uint8]:
    """What such formats are made for: colours that change slowly."""
    across, down = np.meshgrid(np.linspace(0, 255, 48), np.linspace(0, 255, 33))
    pixels: NDArray[np.uint8] = np.stack([across, down, 255 - across], axis=-1).astype(np.uint8)
    return pixels


def decode(file: bytes) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(file)).convert("RGB"))


def test_png_keeps_every_pixel() -> None:
    np.testing.assert_array_equal(decode(ImageEncoder("png").encode(noise())), noise())


@pytest.mark.parametrize("output_format", ["jpeg", "webp"])
def test_the_lossy_formats_are_close_at_their_best(output_format: ImageFormat) -> None:
    decoded = decode(ImageEncoder(output_format).encode(gradient()))
    assert decoded.shape == gradient().shape
    assert np.abs(decoded.astype(int) - gradient()).mean() < 2


@pytest.mark.parametrize("output_format", ["jpeg", "webp"])
def test_less_quality_makes_a_smaller_file(output_format: ImageFormat) -> None:
    sizes = [len(ImageEncoder(output_format, quality).encode(noise())) for quality in (0, 50, 100)]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[1] < sizes[2]


@pytest.mark.parametrize("output_format", FORMATS)
def test_each_is_of_its_format_and_opaque(output_format: ImageFormat) -> None:
    image = Image.open(io.BytesIO(ImageEncoder(output_format).encode(noise())))
    assert (image.format, image.size, image.mode) == (output_format.upper(), (48, 33), "RGB")


@pytest.mark.parametrize("output_format", FORMATS)
def test_nothing_but_pixels_is_in_the_file(output_format: ImageFormat) -> None:
    image = Image.open(io.BytesIO(ImageEncoder(output_format).encode(noise())))
    assert dict(image.getexif()) == {}
    said_by_the_format = {"jfif", "jfif_version", "jfif_unit", "jfif_density", "loop", "background"}
    assert set(image.info) - said_by_the_format == set()


def test_png_has_no_chunks_beside_the_image() -> None:
    file = ImageEncoder("png").encode(noise())
    chunks, at = [], 8
    while at < len(file):
        chunks.append(file[at + 4 : at + 8])
        at += 12 + int.from_bytes(file[at : at + 4], "big")
    assert set(chunks) == {b"IHDR", b"IDAT", b"IEND"}


def test_webp_has_a_longest_side() -> None:
    encoder = ImageEncoder("webp")
    assert decode(encoder.encode(np.zeros((1, WEBP_MAX_SIDE, 3), np.uint8))).shape == (1, WEBP_MAX_SIDE, 3)
    with pytest.raises((OSError, ValueError)):
        encoder.encode(np.zeros((1, WEBP_MAX_SIDE + 1, 3), np.uint8))


def test_a_single_frame_is_the_image() -> None:
    encoder = SingleFrameEncoder(ImageEncoder("png"))
    assert encoder.num_frames == 0
    encoder.add(noise()[np.newaxis])
    assert encoder.num_frames == 1
    np.testing.assert_array_equal(decode(encoder.finish()), noise())


def test_a_single_frame_encoder_counts_what_it_cannot_show() -> None:
    encoder = SingleFrameEncoder(ImageEncoder("png"))
    with pytest.raises(ValueError, match="without a frame"):
        encoder.finish()
    encoder.add(np.stack([noise(), gradient()]))
    assert encoder.num_frames == 2
