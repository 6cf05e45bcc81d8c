"""Copies between the host's memory and a GPU's, as CUDA's own profiler sees them."""

from collections import Counter
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.gpu_check.device import Found
from benchmarks.gpu_check.prepared import make
from pipelines.ensemble.in_process import InProcess

_STEPS = (4, 8)
_KINDS = {"HtoD": "to_gpu", "DtoH": "to_host"}


def host_copies_per_step(pipeline: InProcess) -> Found:
    """Those that more steps take more of, per step; none on a CPU, which has nothing to copy to."""
    few, many = (_copies(pipeline, steps) for steps in _STEPS)
    more_steps = _STEPS[1] - _STEPS[0]
    return {
        f"{name}_per_step": (many[kind] - few[kind]) / more_steps
        for kind, name in (*_KINDS.items(), *((f"{kind} bytes", f"bytes_{name}") for kind, name in _KINDS.items()))
    }


def _copies(pipeline: InProcess, steps: int) -> Counter[str]:
    """Number and bytes of the copies of one video or image."""
    activities = [ProfilerActivity.CUDA] if torch.cuda.is_available() else [ProfilerActivity.CPU]
    with profile(activities=activities) as profiler:
        make(pipeline, steps)
    found: Counter[str] = Counter()
    for event in _device_events(profiler):
        for kind in _KINDS:
            if event.name().startswith("Memcpy") and kind in event.name():
                found[kind] += 1
                found[f"{kind} bytes"] += event.nbytes()
    return found


def _device_events(profiler: Any) -> list[Any]:
    """With what they copied, which `profiler.events()` leaves out."""
    return list(profiler.profiler.kineto_results.events())
