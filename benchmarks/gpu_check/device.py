"""Where the checks run: `cuda`, or `cpu` to try them."""

import platform
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from statistics import median
from typing import Any

import torch

_PACKAGES = ("torch", "diffusers", "onnxruntime-gpu", "onnxruntime")
_MATRIX = {"cuda": 8192, "cpu": 512}
"""rows of the square matrices that are multiplied"""
_COPIED_BYTES = {"cuda": 2**32, "cpu": 2**26}
_CALLS = 5

Found = dict[str, Any]
"""what a check has found, by name; JSON"""


def describe(device: str) -> Found:
    """The machine, and the rates that it reaches: the roofline of what is measured after it."""
    found: Found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    if device != "cpu":
        properties = torch.cuda.get_device_properties(0)
        found |= {"gpu": properties.name, "memory_gib": properties.total_memory / 2**30, "cuda": torch.version.cuda}
        found["compute_capability"] = f"{properties.major}.{properties.minor}"
    found["bf16_tflops"] = matrix_tflops(device)
    block = torch.empty(_COPIED_BYTES[device], dtype=torch.uint8, device=device)
    other = torch.empty_like(block)
    # read once and written once
    found["memory_tb_per_s"] = 2e-12 * block.nbytes / seconds_per_call(lambda: other.copy_(block), device)
    return found


def matrix_tflops(device: str) -> float:
    """The rate at which large matrices in bfloat16 are multiplied."""
    side = _MATRIX[device]
    matrix = torch.randn(side, side, device=device).bfloat16()
    return 2e-12 * side**3 / seconds_per_call(lambda: matrix @ matrix, device)


def seconds_per_call(call: Callable[[], object], device: str, calls: int = _CALLS) -> float:
    """The median of several calls, after one that is not counted."""
    call()
    taken = []
    for _ in range(calls):
        synchronize(device)
        started = time.perf_counter()
        call()
        synchronize(device)
        taken.append(time.perf_counter() - started)
    return median(taken)


def synchronize(device: str) -> None:
    """Wait for what the device computes."""
    if device != "cpu":
        torch.cuda.synchronize()


def taken_gib(device: str) -> float | None:
    """Of the GPU's memory, by this process and others, caches of allocators included; None on a CPU."""
    if device == "cpu":
        return None
    free, total = torch.cuda.mem_get_info()
    return (total - free) / 2**30
