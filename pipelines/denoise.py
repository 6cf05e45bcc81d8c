"""The sampling loop."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from pipelines.runner import Array, Tensors

Evaluate = Callable[[str, Tensors], Awaitable[Array]]
"""Evaluates a transformer on rows: `StepBatcher.evaluate`."""


@dataclass(frozen=True)
class Expert:
    """A transformer and the guidance that it samples with."""

    model: str
    guidance_scale: float


@dataclass(frozen=True)
class TextConditions:
    """float32 [1, tokens, text_dim] each; `negative` is None where sampling is not guided."""

    prompt: Array
    negative: Array | None


async def denoise(
    latents: torch.Tensor,
    text: TextConditions,
    scheduler: Any,
    expert_at: Callable[[float], Expert],
    evaluate: Evaluate,
    after_step: Callable[[int], Awaitable[None]],
) -> torch.Tensor:
    """Turn noise into latents (diffusers' `WanPipeline.__call__`, step 6).

    Args:
        latents: float32 [1, channels, frames, height, width], Gaussian noise.
        scheduler: diffusers' scheduler, its timesteps set.
        expert_at: the expert for a timestep (0..num_train_timesteps).
        after_step: told how many steps are done, before the first step (0) and after each; it may raise to stop.

    Returns:
        float32 latents of the same shape, normalised as the transformer sees them.
    """
    await after_step(0)
    for step, timestep in enumerate(scheduler.timesteps, start=1):
        velocity = await guided_velocity(latents, timestep, text, expert_at(float(timestep)), evaluate)
        latents = scheduler.step(velocity, timestep, latents, return_dict=False)[0]
        await after_step(step)
    return latents


async def guided_velocity(
    latents: torch.Tensor, timestep: torch.Tensor, text: TextConditions, expert: Expert, evaluate: Evaluate
) -> torch.Tensor:
    """The transformer's prediction with classifier-free guidance, both branches in one evaluation.

    uncond + s * (cond - uncond), as in Ho and Salimans, "Classifier-Free Diffusion Guidance", 2022.
    """
    texts = [text.prompt]
    if text.negative is not None and expert.guidance_scale != 1:
        texts.append(text.negative)
    inputs = {
        "hidden_states": latents.numpy().repeat(len(texts), axis=0),
        "timestep": np.full(len(texts), float(timestep), np.float32),
        "encoder_hidden_states": np.concatenate(texts),
    }
    output = torch.from_numpy(await evaluate(expert.model, inputs))
    if len(texts) == 1:
        return output
    cond, uncond = output[:1], output[1:]
    return uncond + expert.guidance_scale * (cond - uncond)
