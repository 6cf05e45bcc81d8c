"""Solvers of the flow ODE: diffusers' schedulers, made new for each job because they keep state from step to step."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers.schedulers.scheduling_flow_match_euler_discrete import FlowMatchEulerDiscreteScheduler
from diffusers.schedulers.scheduling_unipc_multistep import UniPCMultistepScheduler

from protocol.sampling import Solver

SchedulerConfig = Mapping[str, Any]

_SOLVERS: dict[Solver, Any] = {"unipc": UniPCMultistepScheduler, "euler": FlowMatchEulerDiscreteScheduler}


def read_config(folder: Path) -> SchedulerConfig:
    """A checkpoint's `scheduler/scheduler_config.json`."""
    config: SchedulerConfig = json.loads((folder / "scheduler_config.json").read_text())
    return config


def make_scheduler(config: SchedulerConfig, solver: Solver, flow_shift: float, steps: int) -> Any:
    """A scheduler at its first step.

    Args:
        config: the checkpoint's own. What it says of its own solver (order, ...) is kept. For another one nothing
            counts but how many timesteps the model was trained with: the rest means something else there, or is absent.
        flow_shift: s in sigma' = s * sigma / (1 + (s - 1) * sigma).
        steps: denoising steps.
    """
    kind = _SOLVERS[solver]
    own = config
    if config.get("_class_name", kind.__name__) != kind.__name__:
        own = {"num_train_timesteps": config.get("num_train_timesteps", 1000)}
    if solver == "unipc":
        flow = {"prediction_type": "flow_prediction", "use_flow_sigmas": True}
        scheduler = kind.from_config({**own, **flow}, flow_shift=flow_shift)
    else:
        scheduler = kind.from_config({**own, "use_dynamic_shifting": False}, shift=flow_shift)
    scheduler.set_timesteps(steps)
    scheduler.set_begin_index(0)
    return scheduler


def make_dynamic_scheduler(config: SchedulerConfig, tokens: int, steps: int) -> Any:
    """A flow-matching Euler scheduler at its first step, shifted by the size of the image (`QwenImagePipeline`).

    Args:
        config: the checkpoint's own.
        tokens: of the packed latents.
        steps: denoising steps.
    """
    # The schedule is stretched so that its last step is at `shift_terminal`; a single step cannot be stretched.
    terminal = {"shift_terminal": None} if steps == 1 else {}
    scheduler = FlowMatchEulerDiscreteScheduler.from_config(config, **terminal)
    scheduler.set_timesteps(sigmas=np.linspace(1.0, 1 / steps, steps), mu=_shift(tokens, scheduler.config))
    scheduler.set_begin_index(0)
    return scheduler


def offered_solvers(config: SchedulerConfig) -> tuple[Solver, ...]:
    """The solvers that a checkpoint with this scheduler can be sampled with, whatever its configuration says."""
    return tuple(
        solver
        for solver in _SOLVERS
        if all(
            solves_the_flow(lambda: make_scheduler(config, solver, shift, steps))  # noqa: B023 - called before the next
            for shift, steps in ((1.0, 1), (3.0, 2), (5.0, 8))
        )
    )


def solves_the_flow(make: Callable[[], Any]) -> bool:
    """Whether schedulers made so lead from noise to data along a straight flow, each time the same way.

    Configurations that diffusers accepts may not: UniPC's `solver_type` "bh1" divides by zero at the last step of a
    flow, `invert_sigmas` goes the other way, and `stochastic_sampling` adds noise that no seed decides.
    """
    try:
        paths = [_path(make()) for _ in range(2)]
    except (ArithmeticError, AttributeError, ImportError, LookupError, RuntimeError, TypeError, ValueError):
        return False
    return torch.equal(*paths) and bool((paths[0][-1] - _DATA).abs().max() < 1e-2)


_NOISE, _DATA = torch.tensor([[[0.5, -1.5, 2.0]]]), torch.tensor([[[1.0, 0.5, -1.0]]])
"""[batch, channels, ...], as the schedulers take latents"""


def _path(scheduler: Any) -> torch.Tensor:
    """The latents after each step of the straight flow from noise to data: float32 [steps, 1, 1, 3]."""
    latents, path = _NOISE, []
    for timestep in scheduler.timesteps:
        latents = scheduler.step(_NOISE - _DATA, timestep, latents, return_dict=False)[0]
        path.append(latents)
    return torch.stack(path)


def _shift(tokens: int, config: Any) -> float:
    """On the line through the config's two points (tokens, shift) (diffusers' `calculate_shift`)."""
    slope = (config.max_shift - config.base_shift) / (config.max_image_seq_len - config.base_image_seq_len)
    return float(tokens * slope + (config.base_shift - slope * config.base_image_seq_len))
