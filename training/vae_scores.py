"""How well an autoencoder gives clips back."""

import torch
from diffusers import AutoencoderKLWan
from torch import Tensor

from training.vae_forward import decode, encode


@torch.no_grad()
def reconstruct(vae: AutoencoderKLWan, clips: Tensor) -> Tensor:
    """The clips (float32 [batch, RGB, frames, height, width], -1..1) decoded from the means of their latents."""
    parts = [decode(vae, encode(vae, part)[0]) for part in torch.split(clips, 4)]
    return torch.cat(parts).clamp(-1, 1)


def psnr(reconstruction: Tensor, clips: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each clip in dB, [batch]; both -1..1."""
    error = ((reconstruction - clips) / 2).square().flatten(1).mean(dim=1)
    return -10 * torch.log10(error)


def mean_psnr(vae: AutoencoderKLWan, clips: Tensor) -> float:
    return psnr(reconstruct(vae, clips), clips).mean().item()
