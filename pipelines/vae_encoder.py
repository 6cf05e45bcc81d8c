"""From frames to latents: the image that a video starts from, as the transformer is to see it."""

from contextlib import aclosing

import numpy as np
import torch
from numpy.typing import NDArray

from pipelines.frames import to_signed_range
from pipelines.runner import ModelRunner
from pipelines.vae_stream import stream
from protocol.model_card import LatentSpace


def normalise(latents: torch.Tensor, space: LatentSpace) -> torch.Tensor:
    """To the scale that the transformer works in: (latents - mean) / std, per channel."""
    mean = torch.tensor(space.mean).view(1, -1, 1, 1, 1).to(latents)
    inverse_std = 1.0 / torch.tensor(space.std).view(1, -1, 1, 1, 1).to(latents)
    return (latents - mean) * inverse_std  # the order of operations is diffusers'


async def encode_first_frame(
    image: NDArray[np.uint8],
    num_frames: int,
    space: LatentSpace,
    runner: ModelRunner,
    model: str,
    device: torch.device,
) -> torch.Tensor:
    """Encode a video whose first frame is the image and whose other frames are zero, which is mid-grey.

    Args:
        image: uint8 [height, width, 3].
        num_frames: 4k+1 pixel frames.
        device: from which the encoder gets them.

    Returns:
        latents [1, channels, frames, height, width], normalised: the mode of the posterior.
    """
    first = to_signed_range(image).to(device)
    later = torch.zeros(1, 3, space.temporal_stride, *image.shape[:2], device=device)
    chunks = [first, *[later] * ((num_frames - 1) // space.temporal_stride)]
    async with aclosing(stream(chunks, runner, model, "frames", "latents")) as encoded:
        latents = [chunk async for chunk in encoded]
    return normalise(torch.cat(latents, dim=2), space)
