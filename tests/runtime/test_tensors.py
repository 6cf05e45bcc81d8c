"""Tensors keep their dtype and their memory on the way into ONNX Runtime and out again."""

import gc

import numpy as np
import onnxruntime as ort
import pytest
import torch
from torch.utils.dlpack import from_dlpack

from runtime.dtypes import BFLOAT16, FLOAT16, FLOAT32
from runtime.tensors import from_float32, rows, stack_rows, to_host, to_numpy, to_ort_value, zeros

DTYPES = {FLOAT32: torch.float32, FLOAT16: torch.float16, BFLOAT16: torch.bfloat16}


@pytest.mark.parametrize("dtype", [*DTYPES.values(), torch.int64])
@pytest.mark.parametrize("shape", [(2, 3), (1, 3, 1, 4), (1, 16, 0, 8, 8), ()])
def test_a_torch_tensor_goes_in_and_out_without_a_copy(dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    x = torch.ones(shape, dtype=dtype)
    value = to_ort_value(x)
    y = from_dlpack(value)
    assert (value.shape(), y.dtype, y.shape) == (list(shape), dtype, x.shape)
    assert value.data_ptr() == y.data_ptr() == x.data_ptr()


def test_an_ort_value_is_left_alone() -> None:
    value = ort.OrtValue.from_dlpack(torch.ones(2))
    assert to_ort_value(value) is value


def test_a_numpy_array_goes_in_without_a_copy_unless_dlpack_cannot_have_it() -> None:
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert to_ort_value(array).data_ptr() == array.ctypes.data
    np.testing.assert_array_equal(to_numpy(to_ort_value(array.T)), array.T)
    array.flags.writeable = False
    np.testing.assert_array_equal(to_numpy(to_ort_value(array)), array)


def test_memory_lives_as_long_as_whoever_took_it_over() -> None:
    expected = np.arange(10**6, dtype=np.float32)
    kept = from_dlpack(to_ort_value(expected.copy())), to_numpy(to_ort_value(torch.from_numpy(expected.copy())))
    gc.collect()
    others = [np.zeros(10**6, np.float32) for _ in range(4)]  # take what was freed
    for tensor in kept:
        np.testing.assert_array_equal(tensor, expected)
    assert len(others) == 4


@pytest.mark.parametrize("dtype", DTYPES)
def test_float32_is_rounded_as_torch_does_it(dtype: str) -> None:
    exponents = np.random.default_rng(0).integers(-12, 12, 10_000)
    array = (np.random.default_rng(1).standard_normal(10_000) * 2.0**exponents).astype(np.float32)
    halfway = np.array([0, 1, 1 + 2**-8, 1 + 3 * 2**-8, 1 + 2**-11, 1 + 3 * 2**-11, -1 - 2**-8], np.float32)
    array = np.concatenate([array, halfway])
    value = from_float32(array, dtype)
    assert value.data_type() == dtype
    assert torch.equal(from_dlpack(value), torch.from_numpy(array).to(DTYPES[dtype]))


def test_rows_cut_and_put_together_again() -> None:
    frame = np.arange(2 * 3 * 1 * 5 * 4, dtype=np.float32).reshape(2, 3, 1, 5, 4)
    value = to_ort_value(frame)
    bands = [rows(value, 0, 2), rows(value, 2, 5)]
    np.testing.assert_array_equal(to_numpy(bands[0]), frame[:, :, :, :2])
    np.testing.assert_array_equal(to_numpy(stack_rows(bands)), frame)
    assert to_numpy(zeros((1, 0, 3))).shape == (1, 0, 3)
    assert to_host(value) is value
