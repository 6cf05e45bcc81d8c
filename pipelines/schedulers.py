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


def _shift(tokens: int, config: Any) -> float:
    """On the line through the config's two points (tokens, shift) (diffusers' `calculate_shift`)."""
    slope = (config.max_shift - config.base_shift) / (config.max_image_seq_len - config.base_image_seq_len)
    return float(tokens * slope + (config.base_shift - slope * config.base_image_seq_len))
