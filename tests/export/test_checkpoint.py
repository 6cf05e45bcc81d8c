"""What is not a complete diffusers checkpoint of the family is refused, with the reason."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from export import wan_transformer
from export.checkpoint import open_checkpoint, read_json
from export.defaults import read_defaults
from export.errors import CheckpointError
from export.wan_t2v import WAN_T2V


@pytest.fixture
def checkpoint(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    """A copy to break."""
    return Path(shutil.copytree(tiny_checkpoint, tmp_path / "tiny"))


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(read_json(path) | changes))


def test_a_complete_one_is_opened_with_both_experts(tiny_checkpoint: Path) -> None:
    opened = open_checkpoint(tiny_checkpoint, WAN_T2V.layout)
    assert opened.models == ("text_encoder", "transformer", "transformer_2", "vae")


def test_the_second_expert_may_be_absent(checkpoint: Path) -> None:
    edit(checkpoint / "model_index.json", transformer_2=[None, None])
    assert open_checkpoint(checkpoint, WAN_T2V.layout).models == ("text_encoder", "transformer", "vae")


BREAKAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "no folder": (shutil.rmtree, "is not a folder"),
    "no index": (lambda c: (c / "model_index.json").unlink(), "has no model_index.json"),
    "broken index": (lambda c: (c / "model_index.json").write_text("{"), "model_index.json cannot be read"),
    "other pipeline": (
        lambda c: edit(c / "model_index.json", _class_name="QwenImagePipeline"),
        "holds a QwenImagePipeline, and this family needs a WanPipeline",
    ),
    "component not named": (
        lambda c: edit(c / "model_index.json", text_encoder=[None, None]),
        "names no text_encoder",
    ),
    "other VAE": (
        lambda c: edit(c / "model_index.json", vae=["diffusers", "AutoencoderKLQwenImage"]),
        "vae is a AutoencoderKLQwenImage, and this family needs a AutoencoderKLWan",
    ),
    "component's folder missing": (lambda c: shutil.rmtree(c / "vae"), "vae/config.json is missing"),
    "weights missing": (
        lambda c: (c / "transformer_2" / "diffusion_pytorch_model.safetensors").unlink(),
        "transformer_2 has no weights",
    ),
    "shard missing": (
        lambda c: (
            (c / "vae" / "diffusion_pytorch_model.safetensors").rename(c / "vae" / "elsewhere")
            and (c / "vae" / "diffusion_pytorch_model.safetensors.index.json").write_text(
                json.dumps({"weight_map": {"a": "part-1.safetensors", "b": "part-2.safetensors"}})
            )
        ),
        "vae lacks the weight files part-1.safetensors, part-2.safetensors",
    ),
    "tokenizer missing": (lambda c: shutil.rmtree(c / "tokenizer"), "tokenizer/tokenizer_config.json is missing"),
    "scheduler missing": (lambda c: shutil.rmtree(c / "scheduler"), "scheduler/scheduler_config.json is missing"),
    "unknown scheduler": (
        lambda c: edit(c / "scheduler" / "scheduler_config.json", _class_name="DDIMScheduler"),
        "the scheduler is a DDIMScheduler; known: UniPCMultistepScheduler, FlowMatchEulerDiscreteScheduler",
    ),
    "timestep per token": (lambda c: edit(c / "model_index.json", expand_timesteps=True), "not of family wan_t2v"),
    "other channels": (
        lambda c: edit(c / "transformer" / "config.json", in_channels=36),
        "transformer has 36 channels in and 16 out; wan_t2v with this VAE has 16 and 16",
    ),
    "other text width": (
        lambda c: edit(c / "transformer_2" / "config.json", text_dim=4096),
        "transformer_2 takes text of width 4096 and the text encoder gives 32",
    ),
    "unknown default": (lambda c: edit(c / "defaults.json", widht=64), "widht: Extra inputs are not permitted"),
    "default of wrong type": (lambda c: edit(c / "defaults.json", width="wide"), "defaults.json: width:"),
    "impossible default": (lambda c: edit(c / "defaults.json", width=40), "default width must be a multiple of 16"),
}


@pytest.mark.parametrize("breakage", BREAKAGES)
def test_a_broken_one_is_refused_with_the_reason(checkpoint: Path, breakage: str) -> None:
    break_it, message = BREAKAGES[breakage]
    break_it(checkpoint)
    with pytest.raises(CheckpointError, match=message):
        WAN_T2V.card(open_checkpoint(checkpoint, WAN_T2V.layout), read_defaults(checkpoint))


def test_damaged_weights_are_refused(checkpoint: Path) -> None:
    weights = checkpoint / "transformer" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="transformer cannot be loaded as WanTransformer3DModel"):
        wan_transformer.load(checkpoint / "transformer")


def test_weights_that_lack_a_layer_are_refused_not_made_up(checkpoint: Path) -> None:
    edit(checkpoint / "transformer" / "config.json", num_layers=3)
    with pytest.raises(CheckpointError, match=r"lacks \d+ weights of WanTransformer3DModel, the first is blocks\.2\."):
        wan_transformer.load(checkpoint / "transformer")
