"""Qwen-Image's autoencoder takes all of Wan's weights and computes the same."""

import torch
from diffusers import AutoencoderKLWan

from toy.training.vae import LAYOUT
from toy.training.vae_init import initialise
from toy.training.vae_qwen_image import qwen_image_vae


@torch.no_grad()
def test_same_weights_statistics_and_numbers() -> None:
    statistics = {"latents_mean": [0.1] * 16, "latents_std": [2.0] * 16}
    vae = AutoencoderKLWan(**LAYOUT, **statistics)
    initialise(vae, torch.Generator().manual_seed(0))
    twin = qwen_image_vae(vae)
    image = torch.rand(1, 3, 1, 32, 48, generator=torch.Generator().manual_seed(1)) * 2 - 1
    latents = vae.encode(image).latent_dist.mean
    assert torch.equal(twin.encode(image).latent_dist.mean, latents)
    assert torch.equal(twin.decode(latents).sample, vae.decode(latents).sample)
    assert {name: twin.config[name] for name in statistics} == statistics
