"""Which adapters fit a checkpoint, which of its transformers get them, and what those are told."""

from pathlib import Path
from typing import Any

import pytest
import torch

from pipelines.lora.adapters import Adapters
from pipelines.lora.folder import LoraFolder
from pipelines.lora.names import name_table
from pipelines.lora.targets import Sizes, read_targets, write_targets
from pipelines.runner import Shared
from protocol.errors import InvalidRequest
from protocol.lora import AppliedLoras, LoraRequest
from tests.adapters import random_matrices, save, save_diffusers, save_trainer
from tests.model_cards import model_card

SIZES: Sizes = {
    "blocks.0.attn1.to_q": (4, 4),
    "blocks.0.attn1.to_out.0": (4, 4),
    "blocks.0.attn2.add_k_proj": (4, 4),
    "blocks.0.ffn.net.0.proj": (4, 8),
    "condition_embedder.time_proj": (4, 24),
    "proj_out": (4, 2),
}


@pytest.fixture
def folder(tmp_path: Path) -> LoraFolder:
    matrices = random_matrices(SIZES, 2, seed=0)
    save_diffusers(tmp_path / "ink.safetensors", matrices)
    save_diffusers(tmp_path / "plain.safetensors", matrices, prefix="")
    save_diffusers(tmp_path / "low.safetensors", matrices, prefix="transformer_2.")
    save_trainer(tmp_path / "trained.safetensors", random_matrices(SIZES, 2, seed=0, only="net"), alpha=1, flat=False)
    save_diffusers(tmp_path / "wide.safetensors", random_matrices({"proj_out": (4, 3)}, 2, seed=0))
    save_diffusers(tmp_path / "flux.safetensors", random_matrices({"single_blocks.0.linear1": (4, 4)}, 2, seed=0))
    save(
        tmp_path / "twice.safetensors",
        {
            f"{name}.lora_{letter}.weight": torch.ones(4, 4)
            for name in ("blocks.0.attn1.to_q", "blocks.0.self_attn.q")
            for letter in "AB"
        },
    )
    (tmp_path / "broken.safetensors").write_text("not one")
    return LoraFolder(tmp_path)


@pytest.fixture
def adapters(folder: LoraFolder) -> Adapters:
    return Adapters(folder, model_card("two"), {"transformer": SIZES, "transformer_2": SIZES})


@pytest.fixture
def one_expert(folder: LoraFolder) -> Adapters:
    return Adapters(folder, model_card("one", experts=1), {"transformer": SIZES})


def requests(*fields: dict[str, Any]) -> list[LoraRequest]:
    return [LoraRequest(**one) for one in fields]


def told(shared: Shared) -> list[tuple[str, float]]:
    if not shared.inputs:
        return []
    text = shared.inputs["lora"]
    assert isinstance(text, str)
    assert shared.key == text
    return [(one.file, one.scale) for one in AppliedLoras.model_validate_json(text).adapters]


@pytest.mark.parametrize(
    ("request_fields", "high", "low"),
    [
        ([], [], []),
        ([{"name": "ink"}], [("ink.safetensors", 1.0)], [("ink.safetensors", 1.0)]),
        ([{"name": "plain", "scale": 0.5}], [("plain.safetensors", 0.5)], [("plain.safetensors", 0.5)]),
        ([{"name": "low"}], [], [("low.safetensors", 1.0)]),
        ([{"high": "ink"}], [("ink.safetensors", 1.0)], []),
        ([{"low": "ink.safetensors"}], [], [("ink.safetensors", 1.0)]),
        ([{"high": "ink", "low": "low"}], [("ink.safetensors", 1.0)], [("low.safetensors", 1.0)]),
        (
            [{"name": "ink", "scale": 0.7}, {"path": "trained.safetensors", "scale": 0.4}],
            [("ink.safetensors", 0.7), ("trained.safetensors", 0.4)],
            [("ink.safetensors", 0.7), ("trained.safetensors", 0.4)],
        ),
    ],
)
def test_each_transformer_is_told_of_its_own(
    request_fields: list[dict[str, Any]], high: Any, low: Any, adapters: Adapters
) -> None:
    asked = requests(*request_fields)
    adapters.check(asked)
    assert told(adapters.shared(asked, "transformer")) == high
    assert told(adapters.shared(asked, "transformer_2")) == low


def test_equal_requests_share_batches_and_others_do_not(adapters: Adapters) -> None:
    keys = [
        adapters.shared(requests(*fields), "transformer").key
        for fields in ([{"name": "ink"}], [{"path": "ink.safetensors"}], [{"name": "ink", "scale": 0.9}], [])
    ]
    assert keys[0] == keys[1]
    assert len(set(keys)) == 3


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": "nobody"}, "no adapter 'nobody'; there are: broken, flux, ink, low, plain, trained, twice, wide"),
        ({"name": "wide"}, r"does not fit two: transformer.proj_out is 4 x 2, and the adapter is for 4 x 3"),
        ({"name": "flux"}, "does not fit two: transformer has no linear layer single_blocks.0.linear1"),
        ({"low": "flux"}, "does not fit two: transformer_2 has no linear layer single_blocks.0.linear1"),
        ({"name": "twice"}, "blocks.0.self_attn.q and blocks.0.attn1.to_q are the same layer"),
        ({"high": "low"}, "does not fit two: it has nothing for transformer$"),
        ({"name": "broken"}, "adapter 'broken' cannot be used"),
    ],
)
def test_what_does_not_fit_is_refused(fields: dict[str, Any], message: str, adapters: Adapters) -> None:
    with pytest.raises(InvalidRequest, match=message) as refused:
        adapters.check(requests({"name": "ink"}, fields))
    assert refused.value.field == "lora"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"high": "ink"}, "one has one transformer; `high` and `low` are for two experts"),
        ({"low": "ink"}, "one has one transformer; `high` and `low` are for two experts"),
        ({"name": "low"}, "it is for two experts, and the model has one transformer"),
    ],
)
def test_a_pair_needs_two_experts(fields: dict[str, Any], message: str, one_expert: Adapters) -> None:
    one_expert.check(requests({"name": "ink"}))
    with pytest.raises(InvalidRequest, match=message):
        one_expert.check(requests(fields))


def test_a_model_exported_before_there_were_adapters_says_so(folder: LoraFolder) -> None:
    old = Adapters(folder, model_card("old"), {})
    old.check([])
    with pytest.raises(InvalidRequest, match="old was exported without adapters"):
        old.check(requests({"name": "ink"}))


def test_which_names_fit(adapters: Adapters, folder: LoraFolder) -> None:
    assert [name for name in folder.names() if adapters.fits(name)] == ["ink", "low", "plain", "trained"]


def test_wan_s_own_names() -> None:
    """As diffusers converts them."""
    table = name_table(SIZES)
    for name, layer in {
        "blocks.0.self_attn.q": "blocks.0.attn1.to_q",
        "blocks.0.self_attn.o": "blocks.0.attn1.to_out.0",
        "blocks.0.cross_attn.k_img": "blocks.0.attn2.add_k_proj",
        "blocks.0.ffn.0": "blocks.0.ffn.net.0.proj",
        "time_projection.1": "condition_embedder.time_proj",
        "head.head": "proj_out",
        "lora_unet_blocks_0_ffn_0": "blocks.0.ffn.net.0.proj",
        "lora_unet_blocks_0_attn1_to_out_0": "blocks.0.attn1.to_out.0",
    }.items():
        assert table[name] == layer


def test_targets_come_back_as_written(tmp_path: Path) -> None:
    assert read_targets(tmp_path) == {}
    write_targets(tmp_path, {"transformer": SIZES})
    assert read_targets(tmp_path) == {"transformer": SIZES}
