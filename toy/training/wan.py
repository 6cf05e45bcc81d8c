"""Stages of a Wan transformer: flow matching on cached videos, over one range of noise levels."""

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from toy.training.captioning import captions_of
from toy.training.denoiser import Denoiser, draw_lengths
from toy.training.flow import ALL_NOISE, NoiseRange, add_noise, draw_sigmas, losses
from toy.training.latents import LatentCache
from toy.training.stage import Outcome, Plan, Stage, Step
from toy.training.transformer import MASK_CHANNELS

FLOW_SHIFT = 3.0
MUON_RATE = 2.0
"""AdamW's rate suits embeddings and norms; at three times that they learn colours and nothing that takes attention"""


def flow_stage(
    plan: Plan,
    denoiser: Denoiser,
    videos: LatentCache,
    noise_range: NoiseRange,
    *,
    folder: Path,
    evaluate: Callable[[int], Mapping[str, float]] | None = None,
) -> Stage:
    """Trains the denoiser to make videos from captions; from their first frames too, where the cache has those."""

    def loss(step: Step) -> Outcome:
        batch = videos.batch(step.numpy).to(denoiser.device)
        count = len(batch.latents)
        noise = step.normal_like(batch.latents)
        sigmas = draw_sigmas(count, noise_range, FLOW_SHIFT, step.torch).to(denoiser.device)
        noisy = add_noise(batch.latents, noise, sigmas)
        if batch.condition is not None:
            noisy = with_first_frame(noisy, batch.condition)
        velocity = denoiser(noisy, sigmas, captions_of(batch, step.numpy), draw_lengths(count, step.torch))
        return outcome(losses(velocity, batch.latents, noise))

    return Stage(plan, denoiser, loss, folder=folder, evaluate=evaluate, by_muon=is_block_matrix, muon_rate=MUON_RATE)


def token_flow_stage(
    plan: Plan,
    denoiser: Denoiser,
    videos: LatentCache,
    *,
    folder: Path,
    evaluate: Callable[[int], Mapping[str, float]] | None = None,
) -> Stage:
    """Trains a denoiser with a noise level per token to make videos from captions, in half of them after a given frame.

    The first latent frame is then the video's own, without noise, and nothing is asked of it (Wan2.2-TI2V-5B).
    """

    def loss(step: Step) -> Outcome:
        batch = videos.batch(step.numpy).to(denoiser.device)
        count, _, frames, height, width = batch.latents.shape
        noise = step.normal_like(batch.latents)
        sigmas = draw_sigmas(count, ALL_NOISE, FLOW_SHIFT, step.torch).to(denoiser.device)
        given = first_frames(count, frames, step.torch) if batch.moves else torch.zeros(count, frames)
        given = given.to(denoiser.device)
        levels = sigmas[:, None] * (1 - given)
        noisy = add_noise(batch.latents, noise, levels[:, None, :, None, None])
        tokens = levels.repeat_interleave(height // 2 * (width // 2), dim=1)
        velocity = denoiser(noisy, tokens, captions_of(batch, step.numpy), draw_lengths(count, step.torch))
        asked = (1 - given)[:, None, :, None, None]
        share = 1 - given.mean(1)
        return outcome(losses(velocity * asked, batch.latents * asked, noise * asked) / share)

    return Stage(plan, denoiser, loss, folder=folder, evaluate=evaluate, by_muon=is_block_matrix, muon_rate=MUON_RATE)


def first_frames(count: int, frames: int, generator: torch.Generator) -> Tensor:
    """1 at the latent frames that are given, float32 [count, frames]: none, or the first, equally likely."""
    given = torch.zeros(count, frames)
    given[:, 0] = torch.randint(2, (count,), generator=generator)
    return given


def is_block_matrix(name: str, parameter: nn.Parameter) -> bool:
    """The weights of the transformer's blocks, which Muon trains; embeddings and the text encoder are AdamW's.

    So are Qwen-Image's modulations: they see one vector, the noise level's, and Muon's updates of full rank shake them.
    """
    return "transformer" in name and "blocks." in name and "_mod." not in name and parameter.ndim == 2


def with_first_frame(noisy: Tensor, condition: Tensor) -> Tensor:
    """The input of an image-to-video transformer: noisy latents, mask and encoded image, [batch, 16 + 4 + 16, ...].

    The mask is 1 at the first latent frame, which is the image, and 0 elsewhere (diffusers' WanImageToVideoPipeline).
    """
    mask = torch.zeros_like(noisy[:, :MASK_CHANNELS])
    mask[:, :, 0] = 1
    return torch.cat([noisy, mask, condition], dim=1)


def outcome(errors: Tensor) -> Outcome:
    """The mean of a batch's errors, which are in order of their noise levels; for the log, also of the lowest and
    highest third."""
    third = -(-len(errors) // 3)
    detached = errors.detach()
    return Outcome(errors.mean(), {"low": detached[:third].mean(), "high": detached[-third:].mean()})
