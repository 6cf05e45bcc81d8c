"""Tensors as ONNX Runtime has them, `OrtValue`: of any dtype, on the host or on a device."""

from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from runtime.engine import Tensor

FLOAT32, FLOAT16, BFLOAT16 = "tensor(float)", "tensor(float16)", "tensor(bfloat16)"
"""dtypes, as ONNX Runtime names them"""
_ONNX_BFLOAT16 = 16
"""`onnx.TensorProto.BFLOAT16`; the package is not needed to serve"""


def to_ort_value(tensor: Tensor) -> ort.OrtValue:
    """The same memory; that of a numpy array which is not contiguous, or is read-only, is copied."""
    if isinstance(tensor, ort.OrtValue):
        return tensor
    if isinstance(tensor, np.ndarray):
        tensor = np.require(tensor, requirements=["C", "W"])  # numpy exports nothing else
    # `ortvalue_from_numpy` would leave the memory to an object that those who take it on by DLPack do not keep
    return ort.OrtValue.from_dlpack(tensor)


def to_numpy(value: ort.OrtValue) -> NDArray[Any]:
    """On the host: the same memory where it is there already. Bfloat16 cannot be."""
    array: NDArray[Any] = value.numpy()
    return array


def from_float32(array: NDArray[np.float32], dtype: str, device: str) -> ort.OrtValue:
    """Copy an array to a device.

    Args:
        dtype: `FLOAT32`, `FLOAT16` or `BFLOAT16`.
        device: `cpu` or `cuda`.
    """
    array = np.ascontiguousarray(array)
    if dtype == BFLOAT16:
        value = ort.OrtValue.ortvalue_from_numpy_with_onnx_type(_to_bfloat16(array), _ONNX_BFLOAT16)
    else:
        numpy_dtype = {FLOAT32: np.float32, FLOAT16: np.float16}[dtype]
        value = to_ort_value(array.astype(numpy_dtype, copy=False))
    if device == "cpu":
        return value
    there = ort.OrtValue.ortvalue_from_shape_and_type(value.shape(), value.element_type(), device)
    there.update_inplace(value)
    return there


def _to_bfloat16(array: NDArray[np.float32]) -> NDArray[np.uint16]:
    """The bits of the nearest bfloat16, of two that are as near the even one; numbers are finite."""
    bits = array.view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
