"""The header of a safetensors file, honest and hostile."""

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from pipelines.lora.safetensors_file import MAX_HEADER_BYTES, MAX_TENSORS, read_header


@pytest.mark.parametrize(
    "dtype",
    [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2, torch.int64],
)
def test_tensors_are_read_as_float32(dtype: torch.dtype, tmp_path: Path) -> None:
    tensors = {
        "one": torch.randn(3, 5).to(dtype),
        "two": torch.randn(2).to(dtype),
        "scalar": torch.tensor(4.0).to(dtype),
    }
    save_file(tensors, tmp_path / "file", {"made": "here"})
    header = read_header(tmp_path / "file")
    assert header.metadata == {"made": "here"}
    with (tmp_path / "file").open("rb") as file:
        for name, tensor in tensors.items():
            array = header.tensors[name].read(file)
            assert array.dtype == np.float32
            np.testing.assert_array_equal(array, tensor.float().numpy())


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2])
def test_every_float_of_8_bits_is_what_torch_says(dtype: torch.dtype, tmp_path: Path) -> None:
    every = torch.arange(256).to(torch.uint8).view(dtype)
    save_file({"every": every}, tmp_path / "file")
    with (tmp_path / "file").open("rb") as file:
        array = read_header(tmp_path / "file").tensors["every"].read(file)
    np.testing.assert_array_equal(array, every.float().numpy())


def file_of(tmp_path: Path, header: Any, data: bytes = b"", length: int | None = None) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path = tmp_path / "file"
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + data)
    return path


def entry(**changes: Any) -> dict[str, Any]:
    return {"dtype": "F32", "shape": [2], "data_offsets": [0, 8], **changes}


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (b"no JSON", "Invalid JSON"),
        (b"[" * 100_000, "header is wrong"),
        ([], "should be an object|valid dictionary"),
        ({"a": 1}, "header is wrong at a"),
        ({"a": {"other": "things"}}, "header is wrong at a"),
        ({"a": entry(dtype="F4")}, "must be one of F64, F32, F16, BF16, F8_E4M3, F8_E5M2, .* got 'F4'"),
        ({"a": entry(shape=[-1])}, "header is wrong at a"),
        ({"a": entry(shape=[1] * 9)}, "header is wrong at a"),
        ({"a": entry(data_offsets=[-8, 0])}, "header is wrong at a"),
        ({"a": entry(data_offsets=[0, 4])}, "the bytes do not fit the shape"),
        ({"a": entry(data_offsets=[8, 0])}, "the bytes do not fit the shape"),
        ({"a": entry(shape=[4], data_offsets=[0, 16])}, "cut off"),
        ({"a": entry(shape=[2**40, 2**40], data_offsets=[0, 2**82])}, "cut off"),
        ({str(i): entry() for i in range(MAX_TENSORS + 1)}, "at most 20000"),
    ],
)
def test_what_is_wrong_is_said(header: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        read_header(file_of(tmp_path, header, data=bytes(8)))


@pytest.mark.parametrize("length", [MAX_HEADER_BYTES + 1, 2**64 - 1, 100])
def test_a_header_longer_than_the_file_or_the_bound_is_not_read(length: int, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not a safetensors file, or it is cut off"):
        read_header(file_of(tmp_path, {}, length=length))


@pytest.mark.parametrize("content", [b"", b"1234567"])
def test_a_file_too_short_for_a_header_is_none(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(ValueError, match="not a safetensors file"):
        read_header(tmp_path / "file")
