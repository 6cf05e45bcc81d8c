"""What the person who runs an export chooses."""

from dataclasses import dataclass
from enum import StrEnum

EXTERNAL_ABOVE = 2_000_000_000
"""bytes of weights that still go into the .onnx file; protobuf ends at 2 GiB, the graph included"""


class Target(StrEnum):
    """What the graphs are made for."""

    ONNXRUNTIME = "onnxruntime"
    """standard operators but for ONNX Runtime's attention, which does not hold tokens x tokens scores"""
    ONNX = "onnx"
    """standard operators only: what TensorRT reads"""


@dataclass(frozen=True)
class Options:
    target: Target = Target.ONNXRUNTIME
    model_id: str | None = None
    """served id; None: the checkpoint's own, or the family's"""
    external_above: int = EXTERNAL_ABOVE
    """bytes of weights above which they go to `<file>.data` beside the graph"""
