"""Files of random weights, written block by block: large, quickly, and with little memory."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from export.stored_weights import DTYPES, bytes_of, describe, header_bytes
from export.weights_file import TRANSPOSED

_BLOCK = 2**22


def describe_module(module: nn.Module, dtype: torch.dtype) -> dict[str, dict[str, Any]]:
    """What the header of a safetensors file says of all the module's parameters, in that dtype."""
    return describe((name, dtype, parameter.shape) for name, parameter in module.named_parameters())


def write_zeros(file: Path, entries: Mapping[str, Mapping[str, Any]]) -> None:
    """A file that takes no space on the disk."""
    beginning = header_bytes(entries, {"format": "pt"})
    with file.open("wb") as opened:
        opened.write(beginning)
        opened.truncate(len(beginning) + bytes_of(entries))


def write_random(file: Path, entries: Mapping[str, Mapping[str, Any]], beginning: bytes) -> None:
    """Numbers that keep the scale of what goes through them.

    Args:
        beginning: of the file, its header.
    """
    noise = torch.randn(_BLOCK, generator=torch.Generator().manual_seed(0))
    with file.open("wb") as opened:
        opened.write(beginning)
        for name, entry in sorted(entries.items(), key=lambda item: int(item[1]["data_offsets"][0])):
            shape = entry["shape"]
            is_gain = len(shape) == 1 and not name.endswith("bias")
            summands = shape[0] if name.endswith(TRANSPOSED) else math.prod(shape[1:])
            scale = 0.05 if len(shape) == 1 else summands**-0.5
            block = (noise * scale + is_gain).to(DTYPES[entry["dtype"]]).view(torch.uint8).numpy()
            start, end = entry["data_offsets"]
            left = end - start
            while left:
                left -= opened.write(block[:left].data)
