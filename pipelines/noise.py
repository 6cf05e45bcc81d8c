"""The noise that sampling starts from."""

import torch

from pipelines.latents import latents_shape
from protocol.model_card import ModelCard
from protocol.sampling import Spec


def draw_noise(params: Spec, card: ModelCard) -> torch.Tensor:
    """The latents that diffusers' `prepare_latents` draws from a CPU generator with this seed.

    Returns:
        float32 [1, channels, frames, height, width].
    """
    return torch.randn(latents_shape(params, card), generator=torch.Generator().manual_seed(params.seed))
