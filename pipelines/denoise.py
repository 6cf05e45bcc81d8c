"""The sampling loop."""

from collections.abc import Awaitable, Callable
from typing import Any

import torch

Velocity = Callable[[torch.Tensor, torch.Tensor], Awaitable[torch.Tensor]]
"""The guided prediction for latents, on their device, at a timestep (0..num_train_timesteps), which is on the CPU."""
AfterStep = Callable[[int], Awaitable[None]]


async def denoise(latents: torch.Tensor, scheduler: Any, velocity: Velocity, after_step: AfterStep) -> torch.Tensor:
    """Turn noise into latents.

    Args:
        latents: float32, Gaussian noise, on the device where they are to stay.
        scheduler: diffusers' scheduler, its timesteps set.
        after_step: told how many steps are done, before the first step (0) and after each; it may raise to stop.

    Returns:
        float32 latents of the same shape, normalised as the transformer sees them.
    """
    await after_step(0)
    for step, timestep in enumerate(scheduler.timesteps, start=1):
        prediction = await velocity(latents, timestep)
        latents = scheduler.step(prediction, timestep, latents, return_dict=False)[0]
        await after_step(step)
    return latents
