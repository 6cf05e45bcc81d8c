"""Frames between the VAE's range, the unit range and 8 bits, exactly as diffusers' `VideoProcessor` does it."""

import numpy as np
import torch
from numpy.typing import NDArray


def to_unit_range(decoded: torch.Tensor) -> torch.Tensor:
    """VAE output to frames, on the device where it is.

    Args:
        decoded: [1, 3, frames, height, width], -1..1.

    Returns:
        float32 [frames, height, width, 3], 0..1.
    """
    return (decoded[0] / 2 + 0.5).clamp(0, 1).permute(1, 2, 3, 0).float().contiguous()


def to_signed_range(image: NDArray[np.uint8]) -> torch.Tensor:
    """An image to VAE input.

    Args:
        image: uint8 [height, width, 3].

    Returns:
        float32 [1, 3, 1, height, width], -1..1.
    """
    unit = torch.tensor(image).float() / 255.0
    return (2.0 * unit - 1.0).permute(2, 0, 1)[None, :, None]


def to_uint8(frames: torch.Tensor) -> NDArray[np.uint8]:
    """Quantise frames in 0..1 to 0..255, rounding to the nearest level, on the way to the host."""
    array: NDArray[np.uint8] = (frames * 255).round().to(torch.uint8).cpu().numpy()
    return array
