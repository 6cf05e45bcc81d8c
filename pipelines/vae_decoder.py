"""Streaming VAE decode: a latent frame in, its pixel frames out, memory that does not grow with the clip."""

import secrets
from collections.abc import AsyncGenerator
from contextlib import suppress

import numpy as np
import torch

from pipelines.errors import ModelFailed
from pipelines.frames import Float32, to_unit_range
from pipelines.model_card import LatentSpace
from pipelines.runner import Chunk, ModelRunner, float32


def denormalise(latents: torch.Tensor, space: LatentSpace) -> torch.Tensor:
    """Undo the normalisation that the transformer works in: latents * std + mean, a channel."""
    mean = torch.tensor(space.mean).view(1, -1, 1, 1, 1)
    inverse_std = 1.0 / torch.tensor(space.std).view(1, -1, 1, 1, 1)
    return latents / inverse_std + mean  # the order of operations is diffusers'


async def decode(latents: torch.Tensor, space: LatentSpace, runner: ModelRunner, model: str) -> AsyncGenerator[Float32]:
    """Decode a clip one latent frame at a time.

    Args:
        latents: float32 [1, channels, frames, height, width], normalised.

    Yields:
        float32 [n, height, width, 3] in 0..1: one frame, then `temporal_stride` frames for each later latent frame.
    """
    z = float32(denormalise(latents, space).numpy())
    sequence_id = secrets.randbelow(2**62) + 1
    last = z.shape[2] - 1
    done = False
    try:
        for i in range(last + 1):
            chunk = Chunk(sequence_id, start=i == 0, end=i == last)
            frames = await runner.infer(model, {"latents": z[:, :, i : i + 1]}, "frames", chunk)
            done = i == last
            yield to_unit_range(frames)
    finally:
        if not done:  # a job that ends early leaves no caches behind; why it ended is what its client should hear
            with suppress(ModelFailed):
                nothing = np.empty_like(z[:, :, :0])
                await runner.infer(model, {"latents": nothing}, "frames", Chunk(sequence_id, end=True))
