"""What a video or image is going to look like: one small still image of latents, without the VAE."""

import numpy as np
import torch
from numpy.typing import NDArray

from runtime.latent_colours import LatentColours


def draw_preview(latents: torch.Tensor, colours: LatentColours) -> NDArray[np.uint8]:
    """The latent frame in the middle, a pixel for each of its cells.

    Args:
        latents: float32 [1, channels, frames, height, width], estimated, on any device.
        colours: of the VAE that they are of.

    Returns:
        uint8 [height, width, RGB], in latent cells.
    """
    middle: NDArray[np.float32] = latents[0, :, latents.shape[2] // 2].float().cpu().numpy()
    return (colours.of(middle).clip(0, 1) * 255).round().astype(np.uint8)
