"""What the person who runs an export chooses."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from export.family import Part

EXTERNAL_ABOVE = 100_000_000
"""bytes of weights that still go into the .onnx file, which is in memory several times when it is written"""


class Target(StrEnum):
    """What the graphs are made for."""

    ONNXRUNTIME = "onnxruntime"
    """ONNX Runtime on the CPU, whose own attention does not hold tokens x tokens scores. In half precision, graphs that
    round as a GPU would, operator by operator (`export.emulation`): for judging what the precision costs"""
    ONNX = "onnx"
    """GPUs: standard operators only, which TensorRT and onnxruntime-gpu have fused kernels for"""


class Precision(StrEnum):
    """Of the weights, and of what is computed with them. Inputs and outputs of graphs are float32 whatever it is."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"

    @property
    def is_half(self) -> bool:
        return self is not Precision.FLOAT32


DEFAULT_PRECISION: Mapping[Target, Precision] = {
    Target.ONNXRUNTIME: Precision.FLOAT32,
    Target.ONNX: Precision.BFLOAT16,
}


@dataclass(frozen=True)
class Form:
    """How the graphs of a component compute."""

    precision: Precision = Precision.FLOAT32
    is_for_gpu: bool = False


@dataclass(frozen=True)
class Options:
    target: Target = Target.ONNXRUNTIME
    precision: Precision = Precision.FLOAT32
    model_id: str | None = None
    """served id; None: the checkpoint's own, or the family's"""
    external_above: int = EXTERNAL_ABOVE
    """bytes of weights above which they go to a file beside the graph"""
    vae_precision: Precision | None = None
    """of the VAE; None: the same"""

    @property
    def precision_of_vae(self) -> Precision:
        return self.vae_precision or self.precision

    def form(self, part: "Part") -> Form:
        """For a component; one that cannot be in the half precision that is asked for is in the other."""
        asked = self.precision_of_vae if part.is_vae else self.precision
        precision = asked if asked in part.precisions else Precision.BFLOAT16
        return Form(precision, is_for_gpu=self.target is Target.ONNX or precision.is_half)
