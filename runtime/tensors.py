"""Tensors as ONNX Runtime has them, `OrtValue`: of any dtype, on the host or on a device.

What ONNX Runtime has no function for on a GPU, torch does there. It is imported for that alone: a model's process on
the CPU is back sooner, and smaller, without.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from protocol.placement import CPU, Device
from runtime.dtypes import BFLOAT16, FLOAT16, FLOAT32
from runtime.engine import Tensor

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


def to_host(value: ort.OrtValue) -> ort.OrtValue:
    """On the host: itself where it is there already."""
    if not _is_on_gpu(value):
        return value
    return to_ort_value(_torch().from_dlpack(value).cpu())


def from_float32(array: NDArray[np.float32], dtype: str, device: Device = CPU) -> ort.OrtValue:
    """Copy an array to a device.

    Args:
        dtype: `FLOAT32`, `FLOAT16` or `BFLOAT16`.
    """
    if device.is_gpu:
        return _on_gpu(to_torch(array, dtype, str(device)))
    array = np.ascontiguousarray(array)
    if dtype == BFLOAT16:
        return ort.OrtValue.ortvalue_from_numpy_with_onnx_type(_to_bfloat16(array), _ONNX_BFLOAT16)
    return to_ort_value(array.astype({FLOAT32: np.float32, FLOAT16: np.float16}[dtype], copy=False))


def to_torch(array: NDArray[np.float32], dtype: str, device: str) -> Any:
    """A `torch.Tensor` on a device, as torch names it.

    Args:
        dtype: `FLOAT32`, `FLOAT16` or `BFLOAT16`.
    """
    torch = _torch()
    theirs = {FLOAT32: torch.float32, FLOAT16: torch.float16, BFLOAT16: torch.bfloat16}[dtype]
    return torch.from_numpy(np.ascontiguousarray(array)).to(theirs).to(device)


def rows(value: ort.OrtValue, start: int, end: int) -> ort.OrtValue:
    """A copy of some rows, where the tensor is.

    Args:
        value: [batch, channels, frames, rows, width].
    """
    if _is_on_gpu(value):
        return _on_gpu(_torch().from_dlpack(value)[:, :, :, start:end].contiguous())
    return to_ort_value(to_numpy(value)[:, :, :, start:end])


def stack_rows(values: Sequence[ort.OrtValue]) -> ort.OrtValue:
    """One below the other, where they are.

    Args:
        values: [batch, channels, frames, rows, width] each.
    """
    if _is_on_gpu(values[0]):
        torch = _torch()
        return _on_gpu(torch.cat([torch.from_dlpack(value) for value in values], dim=3))
    return to_ort_value(np.concatenate([to_numpy(value) for value in values], axis=3))


def zeros(shape: Sequence[int], device: Device = CPU) -> ort.OrtValue:
    """float32, on the device."""
    if device.is_gpu:
        return _on_gpu(_torch().zeros(*shape, device=str(device)))
    return to_ort_value(np.zeros(shape, np.float32))


def _is_on_gpu(value: ort.OrtValue) -> bool:
    return bool(value.device_name() != "cpu")


def _on_gpu(tensor: Any) -> ort.OrtValue:
    """What torch has computed on a GPU."""
    torch = _torch()
    with torch.cuda.device(tensor.device):  # torch hands on only what is on the current one
        torch.cuda.current_stream().synchronize()  # ONNX Runtime computes on a stream of its own
        return ort.OrtValue.from_dlpack(tensor)


def _torch() -> Any:
    import torch

    return torch


def _to_bfloat16(array: NDArray[np.float32]) -> NDArray[np.uint16]:
    """The bits of the nearest bfloat16, of two that are as near the even one; numbers are finite."""
    bits = array.view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
