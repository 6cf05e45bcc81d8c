"""Adapter files of every kind, and what is refused."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from pipelines.lora.file import AdapterFile, read_adapter
from pipelines.lora.keys import Kind
from protocol.errors import InvalidRequest
from tests.adapters import save

DOWN, UP = torch.randn(2, 5), torch.randn(3, 2)
"""rank 2, 5 features in, 3 out"""


def tensors(name: str, down: str = "lora_A.weight", up: str = "lora_B.weight", **more: Tensor) -> dict[str, Tensor]:
    return {f"{name}.{down}": DOWN, f"{name}.{up}": UP, **{f"{name}.{key}": tensor for key, tensor in more.items()}}


def adapter(
    folder: Path, content: dict[str, Tensor], config: Any = None, metadata: dict[str, Any] | None = None
) -> AdapterFile:
    """Written and read back: as PEFT's folder where there is a config, else as a file."""
    path = folder / ("one.safetensors" if config is None else "adapter_model.safetensors")
    save(path, content, metadata={"lora_adapter_metadata": json.dumps(metadata)} if metadata else None)
    if config is not None:
        (folder / "adapter_config.json").write_text(config if isinstance(config, str) else json.dumps(config))
    return read_adapter(path, "one")


@pytest.mark.parametrize(
    ("key", "down", "up", "layer"),
    [
        ("transformer.blocks.0.to_q", "lora_A.weight", "lora_B.weight", "blocks.0.to_q"),
        ("transformer_2.blocks.0.to_q", "lora_A.weight", "lora_B.weight", "blocks.0.to_q"),
        ("blocks.0.to_q", "lora_A.weight", "lora_B.weight", "blocks.0.to_q"),
        ("blocks.0.to_q", "lora_A.default.weight", "lora_B.default.weight", "blocks.0.to_q"),
        ("transformer.blocks.0.to_q", "lora.down.weight", "lora.up.weight", "blocks.0.to_q"),
        ("diffusion_model.blocks.0.self_attn.q", "lora_down.weight", "lora_up.weight", "blocks.0.self_attn.q"),
        ("lora_unet_blocks_0_self_attn_q", "lora_down.weight", "lora_up.weight", "blocks_0_self_attn_q"),
    ],
)
def test_names_of_every_kind(key: str, down: str, up: str, layer: str, tmp_path: Path) -> None:
    read = adapter(tmp_path, tensors(key, down, up))
    component = "transformer_2" if key.startswith("transformer_2.") else "transformer"
    assert {name: (one.sizes, one.rank) for name, one in read.updates(component).layers.items()} == {layer: ((5, 3), 2)}


def test_the_update_is_scale_times_alpha_by_rank_times_b_a(tmp_path: Path) -> None:
    read = adapter(tmp_path, tensors("x", alpha=torch.tensor(3.0)))
    with read.path.open("rb") as file:
        ((down, up),) = (layer.read(file, scale=0.5) for layer in read.updates("transformer").layers.values())
    assert down.flags.c_contiguous
    assert up.flags.c_contiguous
    np.testing.assert_allclose((down @ up).T, 0.5 * 3 / 2 * (UP @ DOWN).numpy(), rtol=1e-5)


def factor(adapter: AdapterFile) -> float:
    (layer,) = adapter.updates("transformer").layers.values()
    return layer.factor


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"r": 2, "lora_alpha": 3}, 3 / 2),
        ({"r": 2}, 8 / 2),
        ({"r": 2, "lora_alpha": 3, "use_rslora": True}, 3 / math.sqrt(2)),
        ({"r": 4, "lora_alpha": 3, "rank_pattern": {"to_q": 2}}, 3 / 2),
        ({"r": 4, "lora_alpha": 3, "rank_pattern": {"0.to_q": 2}, "alpha_pattern": {"blocks.0.to_q": 5}}, 5 / 2),
        ({"r": 2, "lora_alpha": 3, "alpha_pattern": {"^blocks.0.to_q": 7, "to_q": 5}}, 7 / 2),
        ({"r": 2, "lora_alpha": 3, "alpha_pattern": {r"blocks\.0\.to_q": 7}}, 7 / 2),
        ({"r": 2, "lora_alpha": 3, "alpha_pattern": {"^to_q": 5, "o_q": 5}}, 3 / 2),
    ],
)
def test_the_alpha_of_peft_s_settings(settings: dict[str, Any], expected: float, tmp_path: Path) -> None:
    """In adapter_config.json beside PEFT's weights, or in the metadata that diffusers writes."""
    peft = adapter(tmp_path / "peft", tensors("base_model.model.blocks.0.to_q"), config=settings)
    assert factor(peft) == pytest.approx(expected)
    metadata = {f"transformer.{key}": value for key, value in settings.items()}
    diffusers = adapter(tmp_path / "diffusers", tensors("transformer.blocks.0.to_q"), metadata=metadata)
    assert factor(diffusers) == pytest.approx(expected)


def test_without_an_alpha_it_is_the_rank(tmp_path: Path) -> None:
    assert factor(adapter(tmp_path, tensors("transformer.x"))) == 1


def test_a_file_for_two_experts_gives_each_its_own(tmp_path: Path) -> None:
    both = adapter(tmp_path, tensors("transformer.x") | tensors("transformer_2.y"))
    assert (list(both.updates("transformer").layers), list(both.updates("transformer_2").layers)) == (["x"], ["y"])
    one = adapter(tmp_path, tensors("transformer.x"))
    assert (list(one.updates("transformer").layers), list(one.updates("transformer_2").layers)) == (["x"], ["x"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "it is empty"),
        (tensors("x") | {"x.weight": DOWN}, "x.weight is no low-rank update or difference of a layer"),
        (tensors("x") | {"x.lora_down.weight_scale": DOWN}, "x.lora_down.weight_scale is no low-rank update"),
        (tensors("x") | {"x.lora_B.bias": UP, "x.diff_b": UP}, "x has two differences of its bias"),
        (tensors("x") | {"norm.diff": torch.ones(0)}, "norm: its diff is empty"),
        ({"x.lora_B.bias": UP}, "x lacks lora_A"),
        ({"x.lora_A.weight": DOWN.to(torch.int8), "x.lora_B.weight": UP}, "x.lora_A.weight is of I8, which is quant"),
        ({"x.lora_A.weight": DOWN}, "x lacks lora_B"),
        ({"x.lora_B.weight": UP}, "x lacks lora_A"),
        ({"x.alpha": torch.tensor(1.0)}, "x lacks lora_A"),
        (tensors("x") | {"x.lora_B.weight": torch.ones(3, 7)}, "x: lora_A has rank 2 and lora_B has rank 7"),
        (tensors("x") | {"x.lora_A.weight": torch.ones(2, 5, 1, 1)}, r"x is no linear layer: lora_A is \[2, 5, 1, 1\]"),
        ({"x.lora_A.weight": torch.ones(0, 5), "x.lora_B.weight": torch.ones(3, 0)}, "x is no linear layer"),
        (tensors("x") | {"x.lora_down.weight": DOWN}, "x.lora_down.weight stands for what another"),
        (tensors("x") | {"transformer.x.lora_A.weight": DOWN}, "stands for what another"),
        (tensors("x", alpha=torch.ones(2)), "x: alpha is not one number"),
        (tensors("x", alpha=torch.tensor(float("nan"))), "x: alpha is nan"),
    ],
)
def test_what_is_no_plain_adapter_is_refused(content: dict[str, Tensor], message: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=f"adapter 'one' cannot be used: .*{message}") as refused:
        adapter(tmp_path, content)
    assert refused.value.field == "lora"


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("no JSON", "adapter_config.json is not JSON"),
        ("[1]", "adapter_config.json is not a JSON object"),
        ("[" * 100_000, "adapter_config.json is not JSON"),
        ("{}" + " " * 2**20, "adapter_config.json is too large"),
        ({"peft_type": "LOHA"}, "adapter_config.json: peft_type: it is LoHa, which is not supported"),
        ({"use_dora": True}, "adapter_config.json: use_dora: it is DoRA, which is not supported"),
        ({"r": 0}, "adapter_config.json: r:"),
        ({"r": 4}, "x has rank 2, and its settings say 4"),
        ({"r": 2, "alpha_pattern": {"(a+)+$": 3}}, "the pattern .* is not the name of a layer"),
    ],
)
def test_settings_that_need_another_kind_of_layer_are_refused(config: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=message):
        adapter(tmp_path, tensors("base_model.model.x"), config=config)


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        ("x.dora_scale", "DoRA"),
        ("x.lora_magnitude_vector", "DoRA"),
        ("base_model.model.x.lora_magnitude_vector.default.weight", "DoRA"),
        ("lycoris_x.lokr_w1", "LoKr"),
        ("transformer.x.lokr_w2_a", "LoKr"),
        ("lora_unet_x.hada_w1_a", "LoHa"),
        ("x.oft_R.default.weight", "OFT"),
        ("x.oft_blocks", "OFT"),
        ("x.a1.weight", "GLoRA"),
        ("x.lora_mid.weight", "LoCon"),
    ],
)
def test_other_kinds_of_adapters_are_refused_by_name(key: str, kind: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=f"it is {kind}.* \\({key}\\), which is not supported"):
        adapter(tmp_path, tensors("x") | {key: DOWN})


def test_an_alpha_is_a_number_of_any_dtype(tmp_path: Path) -> None:
    for dtype in (torch.int64, torch.int32, torch.uint8, torch.float64, torch.float16, torch.bfloat16):
        path = tmp_path / "alpha.safetensors"
        save_file(tensors("x") | {"x.alpha": torch.tensor(3, dtype=dtype)}, path)
        assert factor(read_adapter(path, "alpha")) == 3 / 2


def test_differences_stand_beside_low_rank_updates(tmp_path: Path) -> None:
    """PEFT's bias is scaled as its layer is, and a difference is not."""
    content = tensors("x", alpha=torch.tensor(3.0)) | {
        "x.lora_B.bias": torch.ones(3),
        "y.diff": torch.ones(3, 5),
        "y.diff_b": torch.ones(3),
        "y.alpha": torch.tensor(7.0),
        "blocks.0.diff_m": torch.ones(1, 6, 3),
    }
    with pytest.raises(InvalidRequest, match="y lacks lora_A"):
        adapter(tmp_path, {"y.alpha": torch.tensor(7.0)})
    read = adapter(tmp_path, content).updates("transformer")
    assert list(read.layers) == ["x"]
    assert {address: (one.shape, one.factor) for address, one in read.differences.items()} == {
        ("x", Kind.BIAS): ((3,), 3 / 2),
        ("y", Kind.WEIGHT): ((3, 5), 1),
        ("y", Kind.BIAS): ((3,), 1),
        ("blocks.0", Kind.TABLE): ((1, 6, 3), 1),
    }


def test_peft_s_names_without_its_settings(tmp_path: Path) -> None:
    """Where the file is all that there is, the alpha is taken to be the rank, as ComfyUI does, and that is said."""
    alone = adapter(tmp_path, tensors("base_model.model.x"))
    assert factor(alone) == 1
    assert alone.notes == ("without PEFT's adapter_config.json its alpha is taken to be its rank",)
    assert adapter(tmp_path, tensors("base_model.model.x", alpha=torch.tensor(3.0))).notes == ()
    assert adapter(tmp_path, tensors("transformer.base_model.model.x")).notes == ()
    save(tmp_path / "adapter_model.safetensors", tensors("base_model.model.x"))
    with pytest.raises(InvalidRequest, match=r"adapter_config.json must stand beside adapter_model.safetensors"):
        read_adapter(tmp_path / "adapter_model.safetensors", "one")


def test_an_alpha_said_twice_is_refused_unless_it_is_the_same(tmp_path: Path) -> None:
    twice = tensors("base_model.model.x", alpha=torch.tensor(3.0))
    assert factor(adapter(tmp_path, twice, config={"r": 2, "lora_alpha": 3})) == 3 / 2
    with pytest.raises(InvalidRequest, match="x has an alpha of its own beside that of the settings"):
        adapter(tmp_path, tensors("base_model.model.x", alpha=torch.tensor(1.0)), config={"r": 2})


def test_a_file_that_is_none_is_refused_without_its_place(tmp_path: Path) -> None:
    (tmp_path / "one.safetensors").write_text("an image, perhaps")
    with pytest.raises(InvalidRequest, match="adapter 'one' cannot be used: it is not a safetensors file") as refused:
        read_adapter(tmp_path / "one.safetensors", "one")
    assert str(tmp_path) not in refused.value.message
