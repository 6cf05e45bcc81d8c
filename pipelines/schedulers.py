"""Solvers of the flow ODE: diffusers' schedulers, made new for each job because they keep state from step to step."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from diffusers.schedulers.scheduling_flow_match_euler_discrete import FlowMatchEulerDiscreteScheduler
from diffusers.schedulers.scheduling_unipc_multistep import UniPCMultistepScheduler

from protocol.sampling import Solver

SchedulerConfig = Mapping[str, Any]


def read_config(folder: Path) -> SchedulerConfig:
    """A checkpoint's `scheduler/scheduler_config.json`."""
    config: SchedulerConfig = json.loads((folder / "scheduler_config.json").read_text())
    return config


def make_scheduler(config: SchedulerConfig, solver: Solver, flow_shift: float, steps: int) -> Any:
    """A scheduler at its first step.

    Args:
        config: the checkpoint's own; what it says of the solver (order, ...) is kept.
        flow_shift: s in sigma' = s * sigma / (1 + (s - 1) * sigma).
        steps: denoising steps.
    """
    if solver == "unipc":
        scheduler = UniPCMultistepScheduler.from_config(config, flow_shift=flow_shift)
    else:
        scheduler = FlowMatchEulerDiscreteScheduler.from_config(config, shift=flow_shift)
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


def _shift(tokens: int, config: Any) -> float:
    """On the line through the config's two points (tokens, shift) (diffusers' `calculate_shift`)."""
    slope = (config.max_shift - config.base_shift) / (config.max_image_seq_len - config.base_image_seq_len)
    return float(tokens * slope + (config.base_shift - slope * config.base_image_seq_len))
