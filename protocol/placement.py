"""What models run with, and where: a parameter of each model, which an operator can override for all."""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

ENGINE_VARIABLE = "TRITONREEL_ENGINE"
DEVICE_VARIABLE = "TRITONREEL_DEVICE"
"""environment variables of model processes, which override the parameters `engine` and `device`; empty for neither"""

WEIGHTS_BUDGET_VARIABLE = "TRITONREEL_WEIGHTS_BUDGET"
"""another: bytes of a GPU's memory that weights may take together, and so those of an engine that streams them; empty
for what TensorRT chooses"""

AUTO = "auto"

_CUDA = re.compile(r"cuda(?::(\d{1,3}))?", re.ASCII)


class EngineName(StrEnum):
    """With what the graphs of a model are run."""

    AUTO = "auto"
    """TensorRT where its engines fit this machine, else ONNX Runtime"""
    ONNXRUNTIME = "onnxruntime"
    TENSORRT = "tensorrt"
    """full TensorRT or TensorRT for RTX, whichever built the engines"""


@dataclass(frozen=True)
class Device:
    """The CPU, or one GPU."""

    kind: Literal["cpu", "cuda"] = "cpu"
    index: int = 0

    def __str__(self) -> str:
        """As torch writes it."""
        return "cpu" if self.kind == "cpu" else f"cuda:{self.index}"

    @property
    def is_gpu(self) -> bool:
        return self.kind == "cuda"


CPU = Device()


def parse_device(text: str) -> Device | None:
    """`cpu`, `cuda` or `cuda:1`; None for `auto`, which is the first GPU that can be used, else the CPU.

    Raises:
        ValueError: it is none of these.
    """
    if text == AUTO:
        return None
    if text == "cpu":
        return CPU
    if match := _CUDA.fullmatch(text):
        return Device("cuda", int(match[1] or 0))
    raise ValueError(f"device must be auto, cpu or cuda:N with the number of a GPU, not {text!r}")


def parse_engine(text: str) -> EngineName:
    """Raises ValueError: there is no engine of this name."""
    try:
        return EngineName(text)
    except ValueError:
        raise ValueError(f"engine must be {', '.join(EngineName)}, not {text!r}") from None
