"""Reading safetensors files without torch: 8 bytes of header length, a JSON header, then the tensors' bytes.

The header is read with bounds, because files come from elsewhere; tensors are read one at a time.
https://github.com/huggingface/safetensors#format
"""

import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, TypeAdapter, ValidationError

MAX_HEADER_BYTES = 16 * 2**20
MAX_TENSORS = 20_000

_NUMPY = {"F32": "<f4", "F16": "<f2", "BF16": "<u2"}
"""bfloat16 as the upper half of a float32, which numpy lacks"""


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid")

    dtype: Literal["F32", "F16", "BF16"]
    shape: tuple[NonNegativeInt, ...] = Field(max_length=8)
    data_offsets: tuple[NonNegativeInt, NonNegativeInt]


_Header = TypeAdapter(dict[str, _Entry | dict[str, str]])
_METADATA = "__metadata__"


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """Where a tensor lies in its file."""

    dtype: str
    """`F32`, `F16` or `BF16`"""
    shape: tuple[int, ...]
    start: int
    """bytes from the beginning of the file"""

    @property
    def bytes(self) -> int:
        return math.prod(self.shape) * np.dtype(_NUMPY[self.dtype]).itemsize

    def read(self, file: BinaryIO) -> NDArray[np.float32]:
        """The tensor as float32."""
        file.seek(self.start)
        raw = np.frombuffer(file.read(self.bytes), _NUMPY[self.dtype])
        if self.dtype == "BF16":
            raw = (raw.astype(np.uint32) << 16).view(np.float32)
        return raw.astype(np.float32).reshape(self.shape)


@dataclass(frozen=True)
class SafetensorsHeader:
    """What a file says about itself."""

    tensors: dict[str, TensorInfo]
    metadata: dict[str, str]


def read_header(path: Path) -> SafetensorsHeader:
    """The header, checked against the length of the file.

    Raises:
        ValueError: what is wrong with the file.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        prefix = file.read(8)
        length = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else size
        if length > MAX_HEADER_BYTES or 8 + length > size:
            raise ValueError("it is not a safetensors file, or it is cut off")
        header = file.read(length)
    try:
        entries = _Header.validate_json(header)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ValueError(f"its header is wrong at {'.'.join(map(str, first['loc'])) or 0}: {first['msg']}") from None
    metadata = entries.pop(_METADATA, {})
    if len(entries) > MAX_TENSORS:
        raise ValueError(f"it has {len(entries)} tensors; at most {MAX_TENSORS} are read")
    tensors = {}
    for name, entry in entries.items():
        if isinstance(entry, dict):
            raise ValueError(f"its header is wrong at {name}")
        start, end = (8 + length + offset for offset in entry.data_offsets)
        tensors[name] = TensorInfo(entry.dtype, entry.shape, start)
        if end > size or end - start != tensors[name].bytes:
            raise ValueError(f"its header is wrong at {name}: the bytes do not fit the shape, or the file is cut off")
    return SafetensorsHeader(tensors, metadata if isinstance(metadata, dict) else {})
