"""Previews as clients see them: latent pixels made larger."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from frontend.media.image_encoder import ImageEncoder, scaled_down

MAX_SIDE = 256
"""pixels of the longer side: more would show no more"""
_QUALITY = 80


@dataclass(frozen=True)
class PreviewFile:
    """A WebP, and its size in pixels."""

    content: bytes
    width: int
    height: int


def enlarged(pixels: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """The preview in another size, smoothly: uint8 [height, width, RGB]."""
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC))


def preview_webp(pixels: NDArray[np.uint8], width: int, height: int) -> PreviewFile:
    """A preview in the proportions of its video.

    Args:
        pixels: uint8 [height, width, RGB].
        width, height: of the video, in pixels; the preview has no more of them.
    """
    width, height = scaled_down(width, height, MAX_SIDE)
    return PreviewFile(ImageEncoder("webp", _QUALITY).encode(enlarged(pixels, width, height)), width, height)
