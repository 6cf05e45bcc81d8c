"""The sampling loop."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import torch

from pipelines.solver_state import SolverState
from protocol.errors import InvalidRequest

Velocity = Callable[[torch.Tensor, torch.Tensor], Awaitable[torch.Tensor]]
"""The guided prediction for latents, on their device, at a timestep (0..num_train_timesteps), which is on the CPU."""
Estimate = Callable[[], torch.Tensor]
"""Computes, where it is called, what a step takes the finished latents to be, in the form that `denoise` gives them."""
AfterStep = Callable[[SolverState, Estimate | None], Awaitable[None]]
"""Told the state after a step and its estimate, of which there is none before the first step that is taken."""


async def denoise(
    latents: torch.Tensor,
    scheduler: Any,
    velocity: Velocity,
    finish: Callable[[torch.Tensor], torch.Tensor],
    after_step: AfterStep,
    resume: SolverState | None = None,
) -> torch.Tensor:
    """Turn noise into latents.

    Args:
        latents: float32, Gaussian noise, on the device where they are to stay.
        scheduler: diffusers' scheduler, at its first step.
        finish: what is made of latents at the end; it changes none in place.
        after_step: told the state before the first step that is taken and after each; it may raise to stop.
        resume: the state to go on from, instead of the noise; what comes out is the same, bit by bit.

    Returns:
        float32 latents, normalised as the transformer sees them, as `finish` gives them.

    Raises:
        InvalidRequest: nothing can go on from `resume`.
    """
    done = 0
    if resume is not None:
        try:
            done, latents = resume.steps_done, resume.restore(scheduler, like=latents)
        except ValueError as error:
            raise InvalidRequest(f"nothing can go on from it: {error}", "resume") from None
    await after_step(SolverState.of(scheduler, done, latents), None)
    for step, timestep in enumerate(scheduler.timesteps[done:], start=done + 1):
        prediction = await velocity(latents, timestep)
        estimate = partial(estimate_finished, latents, prediction, scheduler.sigmas[step - 1], finish)
        latents = scheduler.step(prediction, timestep, latents, return_dict=False)[0]
        await after_step(SolverState.of(scheduler, step, latents), estimate)
    return finish(latents)


def estimate_finished(
    latents: torch.Tensor,
    velocity: torch.Tensor,
    sigma: torch.Tensor,
    finish: Callable[[torch.Tensor], torch.Tensor],
) -> torch.Tensor:
    """Where the straight flow through `latents` leads: they are (1 - sigma) * data + sigma * noise, and the velocity is
    noise - data. diffusers' schedulers compute the same (`UniPCMultistepScheduler.convert_model_output`)."""
    return finish(latents - float(sigma) * velocity)
