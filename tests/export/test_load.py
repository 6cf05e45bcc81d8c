"""Weights that a module has no place for are refused: what they say would be missing from what is exported."""

import shutil
from pathlib import Path

import pytest
import torch
from diffusers.models.transformers.transformer_qwenimage import QwenImageTransformer2DModel
from safetensors.torch import load_file, save_file

from export.checkpoint import open_checkpoint
from export.errors import CheckpointError
from export.load import load_diffusers
from export.options import Precision
from export.qwen_image import QWEN_IMAGE
from tests.conftest import ROOT

WEIGHTS = "diffusion_pytorch_model.safetensors"


@pytest.fixture
def transformer(tmp_path: Path) -> Path:
    return Path(shutil.copytree(ROOT / "toy" / "checkpoints" / "toy-qwen-image", tmp_path / "qwen") / "transformer")


def test_fp8_weights_with_scales_beside_them_are_refused(transformer: Path) -> None:
    weights = load_file(transformer / WEIGHTS)
    name = "transformer_blocks.0.attn.to_q.weight"
    scale = weights[name].float().abs().max() / 448
    weights[name] = (weights[name].float() / scale).to(torch.float8_e4m3fn)
    weights["transformer_blocks.0.attn.to_q.scale_weight"] = scale.reshape(1)
    save_file(weights, transformer / WEIGHTS, metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"1 weights .* no place for, the first is .*attn\.to_q\.scale_weight"):
        load_diffusers(QwenImageTransformer2DModel, transformer, Precision.FLOAT32)


def test_fp8_weights_alone_are_read(transformer: Path) -> None:
    weights = load_file(transformer / WEIGHTS)
    name = "transformer_blocks.0.attn.to_q.weight"
    stored = weights[name].to(torch.float8_e4m3fn)
    save_file(weights | {name: stored}, transformer / WEIGHTS, metadata={"format": "pt"})
    loaded = load_diffusers(QwenImageTransformer2DModel, transformer, Precision.FLOAT32).state_dict()[name]
    assert torch.equal(loaded, stored.float())


def test_a_variant_is_named(transformer: Path) -> None:
    (transformer / WEIGHTS).rename(transformer / "diffusion_pytorch_model.fp16.safetensors")
    with pytest.raises(CheckpointError, match=r"it has diffusion_\S+\.fp16\.safetensors, which must be renamed"):
        open_checkpoint(transformer.parent, QWEN_IMAGE.layout)
