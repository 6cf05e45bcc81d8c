"""Reading safetensors files without torch: 8 bytes of header length, a JSON header, then the tensors' bytes.

The header is read with bounds, because files come from elsewhere; tensors are read one at a time.
https://github.com/huggingface/safetensors#format
"""

import math
import struct
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, TypeAdapter, ValidationError, field_validator

MAX_HEADER_BYTES = 16 * 2**20
MAX_TENSORS = 20_000

_FLOATS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "F8_E4M3": "u1", "F8_E5M2": "u1"}
"""how numpy reads them; it lacks bfloat16, the upper half of a float32, and the floats of 8 bits"""
_INTEGERS = {f"{kind.upper()}{bits}": f"<{kind}{bits // 8}" for kind in "iu" for bits in (8, 16, 32, 64)}
_NUMPY = _FLOATS | _INTEGERS


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid")

    dtype: str
    shape: tuple[NonNegativeInt, ...] = Field(max_length=8)
    data_offsets: tuple[NonNegativeInt, NonNegativeInt]

    @field_validator("dtype")
    @classmethod
    def _check_dtype(cls, dtype: str) -> str:
        if dtype not in _NUMPY:
            raise ValueError(f"must be one of {', '.join(_NUMPY)}, got {dtype[:20]!r}")
        return dtype


_Header = TypeAdapter(dict[str, _Entry | dict[str, str]])
_METADATA = "__metadata__"


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """Where a tensor lies in its file."""

    dtype: str
    """as the format calls it: `F32`, `BF16`, `F8_E4M3`, ..."""
    shape: tuple[int, ...]
    start: int
    """bytes from the beginning of the file"""

    @property
    def bytes(self) -> int:
        return math.prod(self.shape) * np.dtype(_NUMPY[self.dtype]).itemsize

    @property
    def is_float(self) -> bool:
        return self.dtype in _FLOATS

    def read(self, file: BinaryIO) -> NDArray[np.float32]:
        """The tensor as float32."""
        file.seek(self.start)
        raw = np.frombuffer(file.read(self.bytes), _NUMPY[self.dtype])
        match self.dtype:
            case "BF16":
                raw = (raw.astype(np.uint32) << 16).view(np.float32)
            case "F8_E4M3":
                raw = _float8(exponent_bits=4)[raw]
            case "F8_E5M2":
                raw = _float8(exponent_bits=5)[raw]
        return raw.astype(np.float32).reshape(self.shape)


@cache
def _float8(exponent_bits: int) -> NDArray[np.float32]:
    """The value of each of the 256 floats of 8 bits; E4M3 has no infinities, and one NaN of each sign."""
    bits = np.arange(256)
    mantissa_bits = 7 - exponent_bits
    exponent, mantissa = bits >> mantissa_bits & (2**exponent_bits - 1), bits & (2**mantissa_bits - 1)
    fraction = mantissa / 2**mantissa_bits
    smallest = 2 - 2 ** (exponent_bits - 1)
    magnitude = np.where(exponent == 0, fraction * 2.0**smallest, (1 + fraction) * 2.0 ** (smallest - 1 + exponent))
    highest = exponent == 2**exponent_bits - 1
    if exponent_bits == 5:
        magnitude = np.where(highest, np.where(mantissa == 0, np.inf, np.nan), magnitude)
    else:
        magnitude = np.where(highest & (fraction == fraction.max()), np.nan, magnitude)
    return np.where(bits < 128, magnitude, -magnitude).astype(np.float32)


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
