"""The noise that sampling starts from."""

import torch

from pipelines.latents import latents_shape
from protocol.model_card import ModelCard
from protocol.sampling import Spec


def draw_noise(params: Spec, card: ModelCard, device: torch.device) -> torch.Tensor:
    """The latents that diffusers' `prepare_latents` draws from a CPU generator with this seed, whatever the device.

    Returns:
        float32 [1, channels, frames, height, width], on the device.
    """
    noise = torch.randn(latents_shape(params, card), generator=torch.Generator().manual_seed(params.seed))
    return noise.to(device)
