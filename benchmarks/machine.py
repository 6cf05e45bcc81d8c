"""What the numbers were measured on."""

import os
import platform
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import psutil

FOREIGN_CORES_ALLOWED = 0.1
"""more of other programs, and a round does not count"""

PACKAGES = ("tritonreel", "nvidia-pytriton", "onnxruntime", "torch", "diffusers", "numpy")


@dataclass(frozen=True)
class Machine:
    cpu: str
    cores: int
    """that this process may use"""
    memory_bytes: int
    system: str
    python: str
    versions: dict[str, str]
    """by package"""

    @classmethod
    def this(cls) -> "Machine":
        return cls(
            cpu=cpu_model(Path("/proc/cpuinfo").read_text()),
            cores=len(os.sched_getaffinity(0)),
            memory_bytes=psutil.virtual_memory().total,
            system=f"{platform.system()} {platform.release()}",
            python=platform.python_version(),
            versions={package: version(package) for package in PACKAGES},
        )


def cpu_model(cpuinfo: str) -> str:
    for line in cpuinfo.splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return "unknown CPU"
