"""The torch module that a configuration describes, without its weights."""

import json
import math
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from export.checkpoint import read_json
from export.errors import CheckpointError
from export.options import Precision
from export.precision import DTYPES

_INDEX_SUFFIX = ".safetensors.index.json"
_HEADER_BYTES_AT_MOST = 100_000_000
"""what the format allows"""


def meta_module(class_name: str, folder: Path) -> nn.Module:
    """The diffusers or transformers class as `folder/config.json` describes it, on the meta device.

    Raises:
        CheckpointError: the configuration does not describe such a module.
    """
    import diffusers
    import transformers

    config = read_json(folder / "config.json")
    try:
        with torch.device("meta"):
            if hasattr(diffusers, class_name):
                module: nn.Module = getattr(diffusers, class_name).from_config(config)
            else:
                model_class = getattr(transformers, class_name)
                module = model_class(model_class.config_class.from_dict(config))
    except Exception as error:  # the libraries raise many kinds for one thing: this is no such configuration
        raise CheckpointError(f"{folder / 'config.json'} does not describe a {class_name}: {error}") from error
    return module.eval().requires_grad_(False)


def cast(module: nn.Module, precision: Precision) -> None:
    """Give the weights the types in which they are loaded in that precision, float32 islands included."""
    kept = islands(module) if precision.is_half else set()
    for prefix, part in module.named_modules():
        for name, parameter in part.named_parameters(prefix, recurse=False):
            dtype = torch.float32 if name in kept else DTYPES[precision]
            setattr(part, name.rpartition(".")[2], nn.Parameter(parameter.to(dtype), requires_grad=False))


def islands(module: nn.Module) -> set[str]:
    """Names of the weights that diffusers keeps in float32 in a half module; transformers keeps none in bfloat16."""
    from diffusers import ModelMixin

    if not isinstance(module, ModelMixin):
        return set()
    kept = set(module._keep_in_fp32_modules or ())
    return {name for name, _ in module.named_parameters() if not kept.isdisjoint(name.split("."))}


def count(module: nn.Module) -> int:
    """Parameters; those that are used twice once."""
    return sum(parameter.numel() for parameter in module.parameters())


def check_weights(module: nn.Module, folder: Path) -> bool:
    """Whether the weights are there. Only the headers of their files are read.

    Raises:
        CheckpointError: they are damaged, or not those of the configuration.
    """
    files = _weight_files(folder)
    if not files or not all(path.is_file() for path in files):
        return False
    sizes: dict[str, int] = {}
    for path in files:
        sizes |= _sizes(path)
    parameters = dict(module.named_parameters())
    tied: Mapping[str, str] = getattr(module, "_tied_weights_keys", None) or {}
    stored = sum(size for name, size in sizes.items() if name in parameters or tied.get(name) not in sizes)
    if stored != (described := count(module)):
        raise CheckpointError(
            f"{folder}: the weights have {stored:,} parameters and config.json describes {described:,}; "
            "they are of different models, or stored in a form that is not supported"
        )
    return True


def _weight_files(folder: Path) -> list[Path]:
    for index in sorted(folder.glob(f"*{_INDEX_SUFFIX}")):
        return [folder / name for name in sorted(set(read_json(index).get("weight_map", {}).values()))]
    return [path for name in ("diffusion_pytorch_model", "model") if (path := folder / f"{name}.safetensors").is_file()]


def _sizes(path: Path) -> dict[str, int]:
    """Number of values of each tensor in a safetensors file.

    The format: 8 bytes of header length, the header in JSON, the tensors' bytes.
    """
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > _HEADER_BYTES_AT_MOST:
                raise ValueError("its header is too long")
            header: dict[str, Any] = json.loads(file.read(length))
        header.pop("__metadata__", None)
        return {name: math.prod(entry["shape"]) for name, entry in header.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, struct.error) as error:
        raise CheckpointError(f"{path} is damaged: {error}") from error
