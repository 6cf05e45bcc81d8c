"""A component's module without memory for its weights: its class loads a file of holes in the precision that is wanted.

That file has the header of the checkpoint's weights and takes no space on the disk, as nothing but the first element of
each tensor is written: its number, by which the parameter that a tensor has become is known, however the class renames
them. Which weights the class keeps in float32 is seen by loading once: those are other than the file's.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from shutil import copyfile, rmtree
from tempfile import mkdtemp

import torch
from torch import Tensor, nn

from export.errors import CheckpointError
from export.options import Precision
from export.precision import DTYPES
from export.stored_weights import StoredWeights, bytes_of, describe, header_bytes

_MARKS = {torch.float32: torch.int32, torch.bfloat16: torch.int16, torch.float16: torch.int16}
"""integers of the size of each"""

Load = Callable[[Path, Precision], nn.Module]


def load_skeleton(
    load: Load, folder: Path, stored: StoredWeights, precision: Precision, scratch: Path
) -> tuple[nn.Module, dict[str, str]]:
    """The module with holes for weights, and which tensor of the checkpoint each entry of its state is.

    Args:
        load: `Part.load`.
        folder: of the component.
        scratch: folder to write in, where a few kilobytes are left as long as it loads.

    Raises:
        CheckpointError: the component cannot be loaded.
    """
    dtypes = {
        name: DTYPES[precision] if header.dtype.is_floating_point else header.dtype
        for name, header in stored.headers.items()
    }
    module, names = _load(load, folder, stored, dtypes, precision, scratch)
    kept = {names[entry]: tensor.dtype for entry, tensor in _state(module) if tensor.dtype is not dtypes[names[entry]]}
    if kept:
        module, names = _load(load, folder, stored, dtypes | kept, precision, scratch)
    return module, names


def _load(
    load: Load,
    folder: Path,
    stored: StoredWeights,
    dtypes: Mapping[str, torch.dtype],
    precision: Precision,
    scratch: Path,
) -> tuple[nn.Module, dict[str, str]]:
    parent = Path(mkdtemp(prefix=".skeleton-", dir=scratch))
    holes = parent / folder.name
    try:
        holes.mkdir()
        for file in folder.glob("*.json"):
            if not file.name.endswith(".index.json"):
                copyfile(file, holes / file.name)
        _write_holes(holes / _single_file(stored.files[0]), stored, dtypes)
        module = load(holes, precision)
    except CheckpointError as error:
        raise CheckpointError(str(error).replace(str(holes), str(folder))) from error
    finally:
        rmtree(parent)  # what is mapped stays
    order = list(stored)
    return module, {
        entry: order[_mark(tensor, dtypes)] for entry, tensor in _state(module) if tensor.is_floating_point()
    }


def _single_file(file: Path) -> str:
    """diffusion_pytorch_model-00001-of-00002.safetensors -> diffusion_pytorch_model.safetensors"""
    return f"{file.stem.partition('-')[0]}.safetensors"


def _write_holes(file: Path, stored: StoredWeights, dtypes: Mapping[str, torch.dtype]) -> None:
    entries = describe((name, dtypes[name], header.shape) for name, header in stored.headers.items())
    beginning = header_bytes(entries, {"format": "pt"})
    with file.open("wb") as opened:
        opened.write(beginning)
        for number, (name, header) in enumerate(stored.headers.items()):
            opened.seek(len(beginning) + entries[name]["data_offsets"][0])
            if not header.dtype.is_floating_point:  # a count or a table, which is small
                opened.write(stored[name].contiguous().view(torch.uint8).numpy().tobytes())
            elif header.count:
                opened.write(number.to_bytes(dtypes[name].itemsize, "little"))
        opened.truncate(len(beginning) + bytes_of(entries))


def _mark(tensor: Tensor, dtypes: Mapping[str, torch.dtype]) -> int:
    """The number of a tensor, which widening it to float32 keeps."""
    first = tensor.detach().flatten()[:1]
    number = int(first.view(_MARKS[first.dtype]))
    names = list(dtypes)
    if 0 <= number < len(names) and dtypes[names[number]] is first.dtype:
        return number
    half = next(dtype for dtype in dtypes.values() if dtype in (torch.bfloat16, torch.float16))
    return int(first.to(half).view(_MARKS[half]))


def _state(module: nn.Module) -> list[tuple[str, Tensor]]:
    return [(name, tensor) for name, tensor in module.state_dict(keep_vars=True).items() if tensor.numel()]
