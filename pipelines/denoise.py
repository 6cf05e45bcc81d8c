"""The sampling loop."""

from collections.abc import Awaitable, Callable
from typing import Any

import torch

from pipelines.solver_state import SolverState
from protocol.errors import InvalidRequest

Velocity = Callable[[torch.Tensor, torch.Tensor], Awaitable[torch.Tensor]]
"""The guided prediction for latents, on their device, at a timestep (0..num_train_timesteps), which is on the CPU."""
AfterStep = Callable[[SolverState], Awaitable[None]]


async def denoise(
    latents: torch.Tensor,
    scheduler: Any,
    velocity: Velocity,
    after_step: AfterStep,
    resume: SolverState | None = None,
) -> torch.Tensor:
    """Turn noise into latents.

    Args:
        latents: float32, Gaussian noise, on the device where they are to stay.
        scheduler: diffusers' scheduler, at its first step.
        after_step: told the state before the first step that is taken and after each; it may raise to stop.
        resume: the state to go on from, instead of the noise; what comes out is the same, bit by bit.

    Returns:
        float32 latents of the same shape, normalised as the transformer sees them.

    Raises:
        InvalidRequest: nothing can go on from `resume`.
    """
    done = 0
    if resume is not None:
        try:
            done, latents = resume.steps_done, resume.restore(scheduler, like=latents)
        except ValueError as error:
            raise InvalidRequest(f"nothing can go on from it: {error}", "resume") from None
    await after_step(SolverState.of(scheduler, done, latents))
    for step, timestep in enumerate(scheduler.timesteps[done:], start=done + 1):
        prediction = await velocity(latents, timestep)
        latents = scheduler.step(prediction, timestep, latents, return_dict=False)[0]
        await after_step(SolverState.of(scheduler, step, latents))
    return latents
