"""Adapter files as trainers write them, with random weights."""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from pipelines.lora.targets import Sizes

Matrices = dict[str, tuple[Tensor, Tensor]]
"""A [rank, in] and B [out, rank], by layer"""


def random_matrices(sizes: Sizes, rank: int, seed: int, only: str = "", strength: float = 0.3) -> Matrices:
    """For every layer with `only` in its name; strong enough to be seen."""
    generator = torch.Generator().manual_seed(seed)
    return {
        layer: (
            torch.randn(rank, fan_in, generator=generator) / fan_in**0.5,
            torch.randn(fan_out, rank, generator=generator) * strength / rank**0.5,
        )
        for layer, (fan_in, fan_out) in sizes.items()
        if only in layer
    }


def save_diffusers(
    path: Path,
    matrices: Matrices,
    prefix: str = "transformer.",
    dtype: torch.dtype = torch.float32,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """As `save_lora_weights` of a diffusers pipeline names them."""
    tensors = {}
    for layer, (down, up) in matrices.items():
        tensors[f"{prefix}{layer}.lora_A.weight"] = down
        tensors[f"{prefix}{layer}.lora_B.weight"] = up
    save(path, tensors, dtype, metadata)


def save_trainer(path: Path, matrices: Matrices, alpha: float, flat: bool, dtype: torch.dtype = torch.float32) -> None:
    """With Wan's own names and an alpha a layer, as ComfyUI loads them; `flat` as kohya's trainers write them."""
    tensors = {}
    for layer, (down, up) in matrices.items():
        name = wan_name(layer)
        name = "lora_unet_" + name.replace(".", "_") if flat else f"diffusion_model.{name}"
        tensors[f"{name}.lora_down.weight"] = down
        tensors[f"{name}.lora_up.weight"] = up
        tensors[f"{name}.alpha"] = torch.tensor(alpha)
    save(path, tensors, dtype)


def wan_name(layer: str) -> str:
    """The name of a block's layer in Wan's own repository."""
    for ours, theirs in (
        ("attn1.", "self_attn."),
        ("attn2.", "cross_attn."),
        ("to_out.0", "o"),
        ("to_", ""),
        ("net.0.proj", "0"),
        ("net.2", "2"),
    ):
        layer = layer.replace(ours, theirs)
    return layer


def save(
    path: Path,
    tensors: Mapping[str, Tensor],
    dtype: torch.dtype = torch.float32,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """A safetensors file; folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    stored = {
        name: tensor.to(dtype if tensor.is_floating_point() else tensor.dtype, copy=True).contiguous()
        for name, tensor in tensors.items()
    }
    save_file(stored, path, {"format": "pt", **(metadata or {})})
