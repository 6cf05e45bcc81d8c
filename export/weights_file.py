"""The weights of a graph in a safetensors file beside it, written from the checkpoint block by block.

The graph refers to places in that file, so it holds them as the graph wants them: in its precision, and those of linear
layers as [in, out], under `<parameter>.transposed`. It says in its header what it was made from, and gets its name once
it is whole: an export that was interrupted finds it again.
"""

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from export.errors import CheckpointError
from export.stored_weights import describe, header_bytes, read_metadata

WEIGHTS_FILE = "weights.safetensors"
TRANSPOSED = ".transposed"
"""ends the names of matrices that are [in, out]"""

_MADE_FROM = "made_from"
_DRAFT = ".part"
_BLOCK = 2**24
"""elements that are converted at a time"""
_GIGA = 1e9

OnProgress = Callable[[str], None]


@dataclass(frozen=True)
class Entry:
    """One tensor to write."""

    parameter: str
    is_transposed: bool
    dtype: torch.dtype
    shape: tuple[int, ...]
    """as it is written"""

    @property
    def name(self) -> str:
        return f"{self.parameter}{TRANSPOSED}" if self.is_transposed else self.parameter

    @property
    def bytes(self) -> int:
        return torch.Size(self.shape).numel() * self.dtype.itemsize


@dataclass(frozen=True)
class Place:
    """Where in the file a tensor is."""

    offset: int
    length: int


def write_weights(
    folder: Path,
    entries: Sequence[Entry],
    tensors: Mapping[str, Tensor],
    made_from: str,
    kept: Path | None,
    on_progress: OnProgress,
) -> dict[str, Place]:
    """Write the file into `folder`, or take the one that an interrupted export has left.

    Args:
        tensors: the parameters, in any floating-point type and mapped.
        made_from: fingerprint of all that the values depend on.
        kept: where interrupted exports leave theirs; see `keep_weights`.
        on_progress: hears, every second, how far it is.

    Returns:
        the entries' places, by name
    """
    header, places = layout(entries, made_from)
    file = folder / WEIGHTS_FILE
    left = None if kept is None else kept / f"{_fingerprint(entries, made_from)}.safetensors"
    size = len(header) + sum(place.length for place in places.values())
    if left is not None and left.is_file() and left.stat().st_size == size:
        left.rename(file)
        return places
    draft = folder / f"{WEIGHTS_FILE}{_DRAFT}"
    progress = _Progress(size, on_progress)
    with draft.open("wb") as opened:
        opened.write(header)
        for entry in sorted(entries, key=_order):
            for block in _blocks(tensors[entry.parameter], entry):
                opened.write(block.contiguous().view(torch.uint8).numpy().data)
                progress.add(block.nbytes)
        opened.flush()
        os.fsync(opened.fileno())
    draft.rename(file)
    return places


def keep_weights(version: Path, kept: Path) -> bool:
    """Move a version folder's file, if it has one that is whole, to where the next export looks for it."""
    file = version / WEIGHTS_FILE
    if not file.is_file():
        return False
    try:
        fingerprint = read_metadata(file)[_MADE_FROM]
    except (CheckpointError, KeyError):
        return False
    kept.mkdir(exist_ok=True)
    file.rename(kept / f"{fingerprint}.safetensors")
    return True


def _fingerprint(entries: Sequence[Entry], made_from: str) -> str:
    """Fingerprint of the whole file."""
    said = [(entry.name, str(entry.dtype), entry.shape) for entry in sorted(entries, key=_order)]
    return hashlib.sha256(json.dumps([made_from, said]).encode()).hexdigest()


def layout(entries: Sequence[Entry], made_from: str) -> tuple[bytes, dict[str, Place]]:
    """The beginning of the file, and the entries' places in it, by name."""
    described = describe((entry.name, entry.dtype, entry.shape) for entry in sorted(entries, key=_order))
    header = header_bytes(described, {_MADE_FROM: _fingerprint(entries, made_from)})
    places = {}
    for entry in entries:
        start, _ = described[entry.name]["data_offsets"]
        places[entry.name] = Place(len(header) + start, entry.bytes)
    return header, places


def _order(entry: Entry) -> tuple[int, str]:
    """The widest types first, so that each element is at a multiple of its size."""
    return -entry.dtype.itemsize, entry.name


def _blocks(tensor: Tensor, entry: Entry) -> Iterator[Tensor]:
    """The values in the order of the file."""
    if not entry.is_transposed:
        flat = tensor.reshape(-1)
        for start in range(0, len(flat), _BLOCK):
            yield flat[start : start + _BLOCK].to(entry.dtype)
        return
    rows, columns = tensor.shape
    step = max(1, _BLOCK // rows)
    for start in range(0, columns, step):
        yield tensor[:, start : start + step].to(entry.dtype).t().contiguous()


class _Progress:
    """Says every second how many bytes are written, and how long the rest takes at that pace."""

    def __init__(self, total: int, on_progress: OnProgress) -> None:
        self._total, self._on_progress = total, on_progress
        self._done = 0
        self._started = self._said = time.monotonic()

    def add(self, count: int) -> None:
        self._done += count
        now = time.monotonic()
        if now - self._said < 1:
            return
        self._said = now
        left = (now - self._started) * (self._total - self._done) / self._done
        self._on_progress(f"{self._done / _GIGA:.1f} of {self._total / _GIGA:.1f} GB, {max(left, 1):.0f} s left")
