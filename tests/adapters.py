"""Adapter files as trainers write them, with random weights."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from pipelines.lora.targets import Sizes, Targets

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


def random_differences(targets: Targets, layers: Sequence[str] = ()) -> dict[str, Tensor]:
    """Of every parameter that is no matrix, and of the weights of `layers`."""
    generator = torch.Generator().manual_seed(3)
    shapes: dict[str, tuple[int, ...]] = dict(targets.parameters)
    shapes |= {f"{layer}.weight": targets.layers[layer][::-1] for layer in layers}
    return {name: torch.randn(shape, generator=generator) * 0.05 for name, shape in shapes.items()}


def extracted(differences: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Differences of parameters as the tools call them that extract an adapter from a distilled Wan model."""
    tensors = {}
    for parameter, difference in differences.items():
        module, _, kind = parameter.rpartition(".")
        ending = {"weight": "diff", "bias": "diff_b", "scale_shift_table": "diff_m"}[kind]
        name = module or "head" if ending == "diff_m" else wan_name(module)
        tensors[f"diffusion_model.{name}.{ending}"] = difference
    return tensors


def wan_name(module: str) -> str:
    """The name of a module in Wan's own repository."""
    for ours, theirs in (
        ("condition_embedder.time_proj", "time_projection.1"),
        ("condition_embedder.time_embedder.linear_1", "time_embedding.0"),
        ("condition_embedder.time_embedder.linear_2", "time_embedding.2"),
        ("condition_embedder.text_embedder.linear_1", "text_embedding.0"),
        ("condition_embedder.text_embedder.linear_2", "text_embedding.2"),
        ("proj_out", "head.head"),
        ("norm2", "norm3"),
        ("attn1.", "self_attn."),
        ("attn2.", "cross_attn."),
        ("to_out.0", "o"),
        ("to_", ""),
        ("net.0.proj", "0"),
        ("net.2", "2"),
    ):
        module = module.replace(ours, theirs)
    return module


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
