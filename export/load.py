"""Loading a component's torch module, whatever its weights are stored as."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from export.errors import CheckpointError
from export.options import Precision
from export.precision import DTYPES


def load_diffusers(model_class: Any, folder: Path, precision: Precision) -> nn.Module:
    """The module in `folder` of a diffusers class, ready for inference.

    In half precision it keeps the weights in float32 that its class says (`_keep_in_fp32_modules`).

    Raises:
        CheckpointError: when files are damaged, or weights are missing, too many, or do not fit the configuration.
    """
    return _load(model_class, folder, torch_dtype=DTYPES[precision])


def load_transformers(model_class: Any, folder: Path, precision: Precision) -> nn.Module:
    """As `load_diffusers`, for a class of transformers."""
    return _load(model_class, folder, dtype=DTYPES[precision])


def _load(model_class: Any, folder: Path, **dtype: torch.dtype) -> nn.Module:
    try:
        module, info = model_class.from_pretrained(folder, local_files_only=True, output_loading_info=True, **dtype)
    except Exception as error:  # the libraries raise many kinds for one thing: these files are no such model
        raise CheckpointError(f"{folder} cannot be loaded as {model_class.__name__}: {error}") from error
    missing = sorted(info["missing_keys"])
    if missing:
        raise CheckpointError(
            f"{folder} lacks {len(missing)} weights of {model_class.__name__}, the first is {missing[0]}"
        )
    without_place = sorted(info["unexpected_keys"])
    if without_place:  # what they mean would be missing: fp8 weights with scales beside them would be noise without
        raise CheckpointError(
            f"{folder} has {len(without_place)} weights that {model_class.__name__} has no place for, the first is "
            f"{without_place[0]}; export a checkpoint whose weights are stored as they are, in bfloat16 for example"
        )
    loaded: nn.Module = module.eval().requires_grad_(False)
    return loaded
