"""Half precision: which torch type it is, and how far from float32 its results may be."""

import math
from collections.abc import Mapping

import numpy as np
import onnx_ir as ir
import torch
from numpy.typing import NDArray

from export.options import Precision

DTYPES: Mapping[Precision, torch.dtype] = {
    Precision.FLOAT32: torch.float32,
    Precision.BFLOAT16: torch.bfloat16,
    Precision.FLOAT16: torch.float16,
}

ONNX_DTYPES: Mapping[Precision, ir.DataType] = {
    Precision.FLOAT32: ir.DataType.FLOAT,
    Precision.BFLOAT16: ir.DataType.BFLOAT16,
    Precision.FLOAT16: ir.DataType.FLOAT16,
}

HALF_TOLERANCE = 1.5
"""dB that a graph may be further from the float32 module than torch's own module in the same precision is"""


class SignalToNoise:
    """How far results are from what was expected, over all that are added."""

    def __init__(self) -> None:
        self._signal = self._noise = 0.0

    def add(self, result: NDArray[np.float32], expected: NDArray[np.float32]) -> None:
        self._signal += float(np.square(expected, dtype=np.float64).sum())
        self._noise += float(np.square(np.subtract(result, expected, dtype=np.float64)).sum())

    @property
    def decibels(self) -> float:
        """Energy of what was expected to that of the differences; NaN where one of them is."""
        return math.inf if self._noise == 0 else 10 * float(np.log10(self._signal / self._noise))
