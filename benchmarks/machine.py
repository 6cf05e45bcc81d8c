"""What a benchmark ran on, and whether it had the machine to itself."""

import os
import platform
import time
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

FOREIGN_CORES_ALLOWED = 0.1
"""more of other programs, and a round does not count"""

PACKAGES = ("torch", "diffusers", "onnxruntime", "nvidia-pytriton")


def describe() -> str:
    """One line: processor, cores, memory, versions."""
    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.machine(),
    )
    memory = psutil.virtual_memory().total / 2**30
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return f"{model}, {os.cpu_count()} cores, {memory:.0f} GiB, Python {platform.python_version()}, {versions}"


class ForeignCpu:
    """How much of the machine other programs used during a block. A context manager.

    Args:
        own: the processes that are measured; this one is counted with them.
    """

    def __init__(self, own: Iterable[psutil.Process]) -> None:
        self._processes = [psutil.Process(), *own]
        self.cores = 0.0
        """mean number of cores, known after the block"""

    def __enter__(self) -> Self:
        self._started, self._before = time.perf_counter(), self._foreign_seconds()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        seconds = time.perf_counter() - self._started
        self.cores = max(0.0, (self._foreign_seconds() - self._before) / seconds)

    def _foreign_seconds(self) -> float:
        times = psutil.cpu_times()
        busy = sum(times) - times.idle - times.iowait - times.guest - times.guest_nice
        return float(busy - sum(sum(process.cpu_times()[:2]) for process in self._processes))


def memory_mib(processes: Iterable[psutil.Process]) -> float:
    """Proportional set size of all of them: shared pages are counted once."""
    return sum(float(process.memory_full_info().pss) for process in processes) / 2**20
