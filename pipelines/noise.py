"""The noise that sampling starts from."""

import torch

from protocol.model_card import ModelCard
from protocol.sampling import Spec


def latents_shape(params: Spec, card: ModelCard) -> tuple[int, int, int, int, int]:
    """[1, channels, frames, height, width]"""
    space = card.latents
    return (
        1,
        space.channels,
        (params.num_frames - 1) // space.temporal_stride + 1,
        params.height // space.spatial_stride,
        params.width // space.spatial_stride,
    )


def draw_noise(params: Spec, card: ModelCard, device: torch.device) -> torch.Tensor:
    """The latents that diffusers' `prepare_latents` draws from a CPU generator with this seed, whatever the device.

    Returns:
        float32 [1, channels, frames, height, width], on the device.
    """
    noise = torch.randn(latents_shape(params, card), generator=torch.Generator().manual_seed(params.seed))
    return noise.to(device)
