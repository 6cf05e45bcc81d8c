"""A stage's state on disk: written whole or not at all, read back bit for bit."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from toy.training.errors import StateMismatch


@dataclass
class State:
    """Everything a stage needs to go on as if it had never stopped.

    plan: the stage's settings, as plain values; another plan may not resume from this state
    step: optimiser steps taken
    elapsed: seconds trained, over all runs
    model, ema: parameters and their exponential moving averages, float32
    optimizers: `torch.optim.Optimizer.state_dict()` of each
    """

    plan: dict[str, Any]
    step: int
    elapsed: float
    model: Mapping[str, Tensor]
    ema: Mapping[str, Tensor]
    optimizers: list[dict[str, Any]]


def save_state(state: State, path: Path) -> None:
    """Replaces `path` atomically, so that a run killed while writing keeps the state before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        torch.save(vars(state), file)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def load_state(path: Path, plan: Mapping[str, Any]) -> State | None:
    """The state at `path` on the CPU, or None where there is none.

    Raises:
        StateMismatch: it was saved under another plan.
    """
    if not path.exists():
        return None
    state = State(**torch.load(path, map_location="cpu", weights_only=True))
    changed = sorted(key for key in {*state.plan, *plan} if state.plan.get(key) != plan.get(key))
    if changed:
        was = ", ".join(f"{key} {state.plan.get(key)} -> {plan.get(key)}" for key in changed)
        raise StateMismatch(f"{path} was saved with other settings ({was}); remove it or keep the settings")
    return state
