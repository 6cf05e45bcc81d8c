"""The weights of a component as its checkpoint stores them, by memory map: they take no memory, whatever their size."""

import json
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from export.checkpoint import weight_files
from export.errors import CheckpointError

DTYPES: Mapping[str, torch.dtype] = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
"""safetensors' names"""
_NAMES = {dtype: name for name, dtype in DTYPES.items()}

_METADATA = "__metadata__"
_LENGTH = struct.Struct("<Q")


@dataclass(frozen=True)
class StoredWeight:
    """What a header says of one tensor."""

    file: Path
    dtype: torch.dtype
    shape: tuple[int, ...]

    @property
    def count(self) -> int:
        return torch.Size(self.shape).numel()


class StoredWeights(Mapping[str, Tensor]):
    """The tensors of a component by name, each mapped when it is asked for.

    Raises:
        CheckpointError: a file is damaged, or holds what is no tensor that torch has.
    """

    def __init__(self, folder: Path) -> None:
        self.files = weight_files(folder)
        self.headers: dict[str, StoredWeight] = {}
        for file in self.files:
            self.headers |= {name: _weight(file, entry) for name, entry in read_header(file).items()}
        self._open: dict[Path, Any] = {}

    def __getitem__(self, name: str) -> Tensor:
        file = self.headers[name].file
        if file not in self._open:
            try:
                self._open[file] = safe_open(file, "pt")
            except SafetensorError as error:
                raise CheckpointError(f"{file} cannot be read: {error}") from error
        tensor: Tensor = self._open[file].get_tensor(name)
        return tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self.headers)

    def __len__(self) -> int:
        return len(self.headers)


def read_header(file: Path) -> dict[str, dict[str, Any]]:
    """What a safetensors file says of each of its tensors. Raises CheckpointError where it is damaged."""
    entries = _read(file)
    entries.pop(_METADATA, None)
    return entries


def entries_in(beginning: bytes) -> dict[str, dict[str, Any]]:
    """What the beginning of a safetensors file, as `header_bytes` gives it, says of each tensor."""
    entries: dict[str, dict[str, Any]] = json.loads(beginning[_LENGTH.size :])
    entries.pop(_METADATA, None)
    return entries


def read_metadata(file: Path) -> dict[str, str]:
    """What is said of a safetensors file as a whole."""
    metadata: dict[str, str] = _read(file).get(_METADATA, {})
    return metadata


def _read(file: Path) -> dict[str, Any]:
    try:
        with file.open("rb") as opened:
            (length,) = _LENGTH.unpack(opened.read(_LENGTH.size))
            if length > file.stat().st_size:
                raise ValueError("it ends within its header")
            entries: dict[str, Any] = json.loads(opened.read(length))
        end = (
            _LENGTH.size + length + max((e["data_offsets"][1] for n, e in entries.items() if n != _METADATA), default=0)
        )
        if file.stat().st_size < end:
            raise ValueError(f"it has {file.stat().st_size} bytes of {end}")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, struct.error) as error:
        raise CheckpointError(f"{file} cannot be read: {error}") from None
    return entries


def describe(tensors: Iterable[tuple[str, torch.dtype, Sequence[int]]]) -> dict[str, dict[str, Any]]:
    """What a header says of tensors that lie one after the other.

    Args:
        tensors: name, dtype and shape of each.
    """
    entries: dict[str, dict[str, Any]] = {}
    end = 0
    for name, dtype, shape in tensors:
        start, end = end, end + torch.Size(shape).numel() * dtype.itemsize
        entries[name] = {"dtype": _NAMES[dtype], "shape": list(shape), "data_offsets": [start, end]}
    return entries


def bytes_of(entries: Mapping[str, Mapping[str, Any]]) -> int:
    """Of all the tensors."""
    return max((int(entry["data_offsets"][1]) for entry in entries.values()), default=0)


def header_bytes(entries: Mapping[str, Mapping[str, Any]], metadata: Mapping[str, str]) -> bytes:
    """The beginning of a safetensors file, padded so that the tensors begin at a multiple of 64."""
    text = json.dumps({_METADATA: dict(metadata), **entries}).encode()
    text += b" " * (-(_LENGTH.size + len(text)) % 64)
    return _LENGTH.pack(len(text)) + text


def _weight(file: Path, entry: Mapping[str, Any]) -> StoredWeight:
    if entry["dtype"] not in DTYPES:
        raise CheckpointError(f"{file} stores weights as {entry['dtype']}, which cannot be exported")
    return StoredWeight(file, DTYPES[entry["dtype"]], tuple(entry["shape"]))
