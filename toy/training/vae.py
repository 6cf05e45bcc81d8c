"""Training the autoencoders: single frames first, then videos, then the decoder alone on frozen latents."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKLWan
from torch import Tensor, nn

from toy.training.device import best_device
from toy.training.stage import Outcome, Plan, Stage, Step
from toy.training.vae_batch import frame_batch, scene_batch, video_batch
from toy.training.vae_forward import decode, encode
from toy.training.vae_init import initialise
from toy.training.vae_scores import HeldOut, reconstruct, scores, sheet

LAYOUT: Mapping[str, Any] = {
    "base_dim": 16,
    "z_dim": 16,
    "dim_mult": [1, 2, 2, 2],
    "num_res_blocks": 1,
    "temperal_downsample": [False, True, True],
}
"""That of Wan2.1 and Wan2.2 A14B, made small: 0.83 M parameters; 4 frames of 8x8 pixels to a latent of 16 channels."""

RESIDUAL_LAYOUT: Mapping[str, Any] = {
    **LAYOUT,
    "base_dim": 24,
    "z_dim": 48,
    "is_residual": True,
    "patch_size": 2,
    "in_channels": 12,
    "out_channels": 12,
    "scale_factor_spatial": 16,
    "latents_mean": [0.0] * 48,
    "latents_std": [1.0] * 48,
}
"""That of Wan2.2 TI2V-5B, made small: 2.1 M parameters; 4 frames of 16x16 pixels to a latent of 48 channels."""

# On one CPU core 0.13, 0.38 and 0.29 s per step: 3, 10 and 12 minutes.
FRAMES = Plan("vae-frames", steps=1500, learning_rate=1.2e-3, evaluate_every=250)
VIDEOS = Plan("vae-videos", steps=1600, learning_rate=6e-4, warm_up=100, evaluate_every=200, seed=1)
DECODER = Plan("vae-decoder", steps=2400, learning_rate=8e-4, warm_up=30, ema_decay=0.995, evaluate_every=200, seed=2)

FROZEN = "encoder-frozen"
"""folder of the autoencoder whose encoder and latent statistics are final"""
FINAL = "vae"
"""folder of the finished autoencoder"""

_FRAME_BATCH = 8
_SCENE_SHARE = 0.5
_KL = 5e-4
_DECODER_NOISE = 0.3
_HELD_OUT_SEED, _HELD_OUT_VIDEOS = 99, 24
_STATISTICS_SEED, _STATISTICS_BATCHES = 98, 16


def train_encoder(folder: Path, *, factor: float = 1.0, layout: Mapping[str, Any] = LAYOUT) -> None:
    """Trains encoder and decoder on frames and videos, and saves them, with latent statistics, at `folder/FROZEN`.

    `factor` scales the steps of each stage; the states lie in `folder`.
    """
    if (folder / FROZEN).exists():
        return
    vae = AutoencoderKLWan(**layout)
    initialise(vae, torch.Generator().manual_seed(0))
    device = best_device()
    vae.to(device)

    def frames(step: Step) -> Outcome:
        return _outcome(vae, frame_batch(step.numpy, _FRAME_BATCH).to(device), step)

    def videos(step: Step) -> Outcome:
        return _outcome(vae, video_batch(step.numpy, _SCENE_SHARE).to(device), step)

    _stage(FRAMES.scaled(factor), vae, frames, folder, length=1).run()
    _stage(VIDEOS.scaled(factor), vae, videos, folder).run()
    mean, std = latent_statistics(vae)
    vae.register_to_config(latents_mean=mean, latents_std=std)
    _save(vae, folder / FROZEN)


def train_decoder(folder: Path, *, factor: float = 1.0) -> None:
    """Trains the decoder of `folder/FROZEN` further, the latents unchanged, and saves the whole at `folder/FINAL`.

    Half of its videos come from latents with more noise than the posterior's: a transformer's are never exact.
    """
    if (folder / FINAL).exists():
        return
    device = best_device()
    vae = AutoencoderKLWan.from_pretrained(folder / FROZEN).to(device)
    for part in (vae.encoder, vae.quant_conv):
        part.requires_grad_(False)

    scale = torch.tensor(vae.config.latents_std, device=device)[:, None, None, None]

    def videos(step: Step) -> Outcome:
        batch = video_batch(step.numpy, _SCENE_SHARE).to(device)
        levels = torch.rand(len(batch), 1, 1, 1, 1, generator=step.torch).to(device)
        return _outcome(vae, batch, step, scale * _DECODER_NOISE * (2 * levels - 1).clamp(min=0))

    _stage(DECODER.scaled(factor), vae, videos, folder).run()
    _save(vae, folder / FINAL)


@torch.no_grad()
def latent_statistics(vae: AutoencoderKLWan) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each latent channel over scenes, as `latents_mean` and `latents_std` want them.

    A channel that hardly varies counts as varying a fifth as much as the most varied, lest noise be blown up.
    """
    rng = np.random.default_rng(_STATISTICS_SEED)
    means = [encode(vae, scene_batch(rng, 8).to(vae.device))[0] for _ in range(_STATISTICS_BATCHES)]
    latents = torch.cat(means).transpose(0, 1).flatten(1)
    std = latents.std(dim=1)
    std = std.clamp(min=0.2 * std.max().item())
    return [round(x, 4) for x in latents.mean(dim=1).tolist()], [round(x, 4) for x in std.tolist()]


def _save(vae: AutoencoderKLWan, folder: Path) -> None:
    """Writes the folder whole or not at all."""
    part = folder.with_suffix(".part")
    vae.save_pretrained(part)
    part.rename(folder)


def _stage(plan: Plan, vae: AutoencoderKLWan, loss: Callable[[Step], Outcome], folder: Path, length: int = 9) -> Stage:
    """`length`: frames of the videos that it is judged by."""
    held_out = HeldOut.draw(_HELD_OUT_SEED, _HELD_OUT_VIDEOS, frames=length)

    def evaluate(step: int) -> Mapping[str, float]:
        folder.mkdir(parents=True, exist_ok=True)
        reconstruction = reconstruct(vae, held_out.videos)
        sheet(held_out, reconstruction).save(folder / f"{plan.name}-{step}.png")
        return scores(held_out, reconstruction)

    return Stage(plan, vae, loss, folder=folder, evaluate=evaluate, by_muon=_is_inner_kernel)


def _is_inner_kernel(name: str, parameter: nn.Parameter) -> bool:
    """Kernels between hidden layers; those that read or write pixels are AdamW's, as Muon's authors advise."""
    return parameter.ndim >= 4 and not name.endswith(("gamma", "encoder.conv_in.weight", "decoder.conv_out.weight"))


def _outcome(vae: AutoencoderKLWan, videos: Tensor, step: Step, noise: Tensor | float = 0.0) -> Outcome:
    """Absolute and squared error of videos decoded from sampled latents, and a little of the posterior's divergence.

    `noise`: standard deviation of what is added to the latents beside the posterior's own.
    """
    mean, log_variance = encode(vae, videos)
    latents = mean + (log_variance.exp() + noise**2).sqrt() * step.normal_like(mean)
    error = decode(vae, latents) - videos
    reconstruction = error.abs().mean() + 3 * error.square().mean()
    divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()
    loss = reconstruction + _KL * divergence
    return Outcome(loss, {"absolute error": error.detach().abs().mean(), "divergence": divergence.detach()})
