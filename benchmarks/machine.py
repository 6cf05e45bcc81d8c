"""What a benchmark ran on, and whether it had the machine to itself."""

import os
import platform
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

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


@dataclass
class Measured:
    """Wall seconds of a stretch of work, and how many cores' time other programs took meanwhile."""

    seconds: float = 0.0
    foreign_cores: float = 0.0


@contextmanager
def measured(own: Iterable[psutil.Process]) -> Iterator[Measured]:
    """Time a block, and the CPU time spent meanwhile by anything but this process and `own`."""
    processes = [psutil.Process(), *own]
    result = Measured()
    busy, mine, started = _busy_seconds(), _cpu_seconds(processes), time.perf_counter()
    yield result
    result.seconds = time.perf_counter() - started
    foreign = _busy_seconds() - busy - (_cpu_seconds(processes) - mine)
    result.foreign_cores = max(0.0, foreign / result.seconds)


def clean(rounds: list[Measured]) -> list[Measured]:
    """The rounds that other programs did not disturb; all of them when fewer than three are left."""
    undisturbed = [each for each in rounds if each.foreign_cores <= FOREIGN_CORES_ALLOWED]
    return undisturbed if len(undisturbed) >= 3 else rounds


def memory_mib(processes: Iterable[psutil.Process]) -> float:
    """Proportional set size of all of them: shared pages are counted once."""
    return sum(float(process.memory_full_info().pss) for process in processes) / 2**20


def _busy_seconds() -> float:
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - times.iowait - times.guest - times.guest_nice)


def _cpu_seconds(processes: Iterable[psutil.Process]) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in processes)
