"""Frames between the VAE's range, the unit range and 8 bits, exactly as diffusers' `VideoProcessor` does it."""

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]


def to_unit_range(decoded: Float32) -> Float32:
    """VAE output to pictures.

    Args:
        decoded: float32 [1, 3, frames, height, width], -1..1.

    Returns:
        float32 [frames, height, width, 3], 0..1.
    """
    pictures = np.clip(decoded[0] / 2 + 0.5, 0, 1)
    return np.ascontiguousarray(pictures.transpose(1, 2, 3, 0))


def to_signed_range(picture: NDArray[np.uint8]) -> Float32:
    """A picture to VAE input.

    Args:
        picture: uint8 [height, width, 3].

    Returns:
        float32 [1, 3, 1, height, width], -1..1.
    """
    unit = picture.astype(np.float32) / 255.0
    return np.ascontiguousarray((2.0 * unit - 1.0).transpose(2, 0, 1)[None, :, None])


def to_uint8(pictures: Float32) -> NDArray[np.uint8]:
    """Quantise pictures in 0..1 to 0..255, rounding to the nearest level."""
    return (pictures * 255).round().astype(np.uint8)
