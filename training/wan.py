"""Stages of a Wan transformer: flow matching on cached clips, over one range of noise levels."""

from collections.abc import Callable, Mapping
from pathlib import Path

from torch import Tensor

from training.captioning import captions_of
from training.denoiser import Denoiser, draw_lengths
from training.flow import NoiseRange, add_noise, draw_sigmas, losses
from training.latents import LatentCache
from training.stage import Outcome, Plan, Stage, Step

FLOW_SHIFT = 3.0


def text_to_video_stage(
    plan: Plan,
    denoiser: Denoiser,
    clips: LatentCache,
    noise_range: NoiseRange,
    *,
    folder: Path,
    evaluate: Callable[[int], Mapping[str, float]] | None = None,
) -> Stage:
    """Trains the denoiser to make clips from captions."""

    def loss(step: Step) -> Outcome:
        batch = clips.batch(step.numpy)
        count = len(batch.latents)
        noise = step.normal_like(batch.latents)
        sigmas = draw_sigmas(count, noise_range, FLOW_SHIFT, step.torch)
        noisy = add_noise(batch.latents, noise, sigmas)
        velocity = denoiser(noisy, sigmas, captions_of(batch, step.numpy), draw_lengths(count, step.torch))
        return outcome(losses(velocity, batch.latents, noise))

    return Stage(plan, denoiser, loss, folder=folder, evaluate=evaluate)


def outcome(errors: Tensor) -> Outcome:
    """The mean of a batch's errors, which are in order of their noise levels; for the log, also of the lowest and
    highest third."""
    third = -(-len(errors) // 3)
    detached = errors.detach()
    return Outcome(errors.mean(), {"low": detached[:third].mean(), "high": detached[-third:].mean()})
