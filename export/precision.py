"""Half precision: which torch type it is, and how far from float32 its results may be."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnx_ir as ir
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

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


class WideConvolutions(TorchFunctionMode):
    """Within it, convolutions in half precision add up in float32 and round once, as they do on GPUs.

    Torch's own on processors without half precision round likewise, and take up to 300 times as long.
    """

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if function not in (functional.conv2d, functional.conv3d) or not _is_half(args[0]):
            return function(*args, **kwargs)
        wide = {name: _widened(value) for name, value in kwargs.items()}
        return function(*map(_widened, args), **wide).to(args[0].dtype)


def _is_half(value: object) -> bool:
    return isinstance(value, Tensor) and value.dtype in (torch.bfloat16, torch.float16)


def _widened(value: Any) -> Any:
    return value.float() if _is_half(value) else value
