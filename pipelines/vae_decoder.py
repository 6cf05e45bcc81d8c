"""From latents to frames: a latent frame at a time, so that memory does not grow with the video."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

import torch

from pipelines.frames import to_unit_range
from pipelines.runner import ModelRunner
from pipelines.vae_stream import stream
from protocol.model_card import LatentSpace


def denormalise(latents: torch.Tensor, space: LatentSpace) -> torch.Tensor:
    """Undo the normalisation that the transformer works in: latents * std + mean, per channel."""
    mean = torch.tensor(space.mean).view(1, -1, 1, 1, 1).to(latents)
    inverse_std = 1.0 / torch.tensor(space.std).view(1, -1, 1, 1, 1).to(latents)
    return latents / inverse_std + mean  # the order of operations is diffusers'


async def decode(
    latents: torch.Tensor, space: LatentSpace, runner: ModelRunner, model: str
) -> AsyncGenerator[torch.Tensor]:
    """Decode a video one latent frame at a time.

    Args:
        latents: [1, channels, frames, height, width], normalised.

    Yields:
        float32 [n, height, width, 3] in 0..1: one frame, then `temporal_stride` frames for each later latent frame.
    """
    z = denormalise(latents, space)
    chunks = [z[:, :, i : i + 1] for i in range(z.shape[2])]
    async with aclosing(stream(chunks, runner, model, "latents", "frames")) as decoded:
        async for frames in decoded:
            yield to_unit_range(frames)


async def decode_image(latents: torch.Tensor, space: LatentSpace, runner: ModelRunner, model: str) -> torch.Tensor:
    """Decode the only latent frame of an image.

    Args:
        latents: [1, channels, 1, height, width], normalised.

    Returns:
        float32 [1, height, width, 3] in 0..1.
    """
    return to_unit_range(await runner.infer(model, {"latents": denormalise(latents, space)}, "frames"))
