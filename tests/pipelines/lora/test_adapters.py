"""Which adapters fit a checkpoint, which of its transformers get them, and what those are told."""

from pathlib import Path
from typing import Any

import pytest
import torch

from pipelines.lora.adapters import Adapters
from pipelines.lora.folder import LoraFolder
from pipelines.lora.keys import Address, Kind
from pipelines.lora.names import Names
from pipelines.lora.targets import Sizes, Targets, read_targets, write_targets
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
TARGETS = Targets(
    layers=dict(SIZES),
    parameters={
        "blocks.0.attn1.norm_q.weight": (4,),
        "blocks.0.attn1.to_q.bias": (4,),
        "blocks.0.norm2.weight": (4,),
        "blocks.0.scale_shift_table": (1, 6, 4),
        "scale_shift_table": (1, 2, 4),
        "patch_embedding.weight": (4, 3, 1, 2, 2),
    },
)


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
    pairs = {f"diffusion_model.blocks.{i}.cross_attn.k_img": (4, 4) for i in range(3)}
    partly = random_matrices({"transformer.blocks.0.attn1.to_q": (4, 4), "img_emb.proj.1": (4, 4), **pairs}, 2, seed=0)
    save_diffusers(tmp_path / "partly.safetensors", partly, prefix="")
    save(
        tmp_path / "misshapen.safetensors",
        {"blocks.0.norm3.diff": torch.ones(4), "patch_embedding.diff": torch.ones(4, 9, 1, 2, 2)},
    )
    (tmp_path / "broken.safetensors").write_text("not one")
    return LoraFolder(tmp_path)


@pytest.fixture
def adapters(folder: LoraFolder) -> Adapters:
    return Adapters(folder, model_card("two"), {"transformer": TARGETS, "transformer_2": TARGETS})


@pytest.fixture
def one_expert(folder: LoraFolder) -> Adapters:
    return Adapters(folder, model_card("one", experts=1), {"transformer": TARGETS})


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
        (
            {"name": "nobody"},
            "no adapter 'nobody'; there are: broken, flux, ink, low, misshapen, partly, plain, trained, twice, wide",
        ),
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
    fitting = [name for name in folder.names() if adapters.why_not(name) is None]
    assert fitting == ["ink", "low", "misshapen", "partly", "plain", "trained"]
    assert adapters.why_not("flux") == (
        "adapter 'flux.safetensors' does not fit two: transformer has no linear layer single_blocks.0.linear1"
    )


def test_what_is_left_out_is_said(adapters: Adapters) -> None:
    """Layers that the model lacks, those of several blocks together; and what has another shape."""
    assert adapters.check(requests({"name": "ink"})) == ()
    assert adapters.check(requests({"name": "ink"}, {"name": "partly"})) == (
        "adapter 'partly.safetensors': left out what two lacks: blocks.1.cross_attn.k_img (2 alike), img_emb.proj.1",
    )
    assert adapters.check(requests({"high": "misshapen"})) == (
        "adapter 'misshapen.safetensors': left out what has another shape in two: patch_embedding",
    )


def on_tensorrt(folder: LoraFolder, rank: int) -> Adapters:
    """The first of two experts runs on an engine for adapters of that rank."""
    targets = {"transformer": TARGETS, "transformer_2": TARGETS}
    return Adapters(folder, model_card("two"), targets, {"transformer": rank})


def test_what_an_engine_does_not_take_is_said_and_of_nothing_else_refused(folder: LoraFolder, tmp_path: Path) -> None:
    """TensorRT engines are built without differences of biases, norms and tables."""
    q = "blocks.0.attn1.to_q"
    layer = {f"{q}.lora_A.weight": torch.ones(2, 4), f"{q}.lora_B.weight": torch.ones(4, 2)}
    save(tmp_path / "biased.safetensors", {**layer, f"{q}.diff_b": torch.ones(4)})
    save(tmp_path / "norms.safetensors", {f"{q}.diff_b": torch.ones(4), "blocks.0.norm2.diff": torch.ones(4)})
    adapters = on_tensorrt(folder, rank=8)
    assert adapters.check(requests({"name": "biased"})) == (
        "adapter 'biased.safetensors': left out what the TensorRT engine of two does not take: "
        "blocks.0.attn1.to_q.bias; serve with --engine onnxruntime to apply it",
    )
    assert adapters.check(requests({"low": "biased"}, {"low": "norms"})) == ()
    for name in ("name", "high"):
        with pytest.raises(
            InvalidRequest, match=r"'norms\.safetensors' cannot be applied to two here: .*norm2.weight;"
        ):
            adapters.check(requests({name: "norms"}))
    assert adapters.why_not("norms") is not None


def test_the_ranks_of_a_layer_s_adapters_are_as_many_as_an_engine_takes(folder: LoraFolder) -> None:
    twice = requests({"name": "ink"}, {"name": "plain"})  # of rank 2 each
    on_tensorrt(folder, rank=4).check(twice)
    message = (
        r"engine of two takes adapters of rank 3 at most, all together, got rank 4 in transformer\.blocks\.0\..*; have "
        r"it built for more with `python -m export\.engines --adapter-rank 4`, or serve with --engine onnxruntime"
    )
    with pytest.raises(InvalidRequest, match=message) as refused:
        on_tensorrt(folder, rank=3).check(twice)
    assert refused.value.field == "lora"
    on_tensorrt(folder, rank=3).check(requests({"low": "ink"}, {"low": "plain"}, {"high": "ink"}))
    with pytest.raises(InvalidRequest, match=r"engine of two takes no adapters, got rank 2"):
        on_tensorrt(folder, rank=0).check(requests({"name": "ink"}))


def test_a_whole_difference_is_of_full_rank(folder: LoraFolder, tmp_path: Path) -> None:
    save(tmp_path / "whole.safetensors", {"blocks.0.ffn.net.0.proj.diff": torch.ones(8, 4)})
    on_tensorrt(folder, rank=4).check(requests({"name": "whole"}))
    with pytest.raises(InvalidRequest, match=r"got rank 4 in transformer\.blocks\.0\.ffn\.net\.0\.proj"):
        on_tensorrt(folder, rank=3).check(requests({"name": "whole"}))


@pytest.mark.parametrize(
    ("module", "kind", "target"),
    [
        ("blocks.0.self_attn.q", Kind.WEIGHT, "blocks.0.attn1.to_q"),
        ("blocks.0.self_attn.q", Kind.BIAS, "blocks.0.attn1.to_q.bias"),
        ("blocks.0.self_attn.o", Kind.WEIGHT, "blocks.0.attn1.to_out.0"),
        ("blocks.0.attn1.to_out", Kind.WEIGHT, "blocks.0.attn1.to_out.0"),
        ("blocks.0.cross_attn.k_img", Kind.WEIGHT, "blocks.0.attn2.add_k_proj"),
        ("blocks.0.ffn.0", Kind.WEIGHT, "blocks.0.ffn.net.0.proj"),
        ("time_projection.1", Kind.WEIGHT, "condition_embedder.time_proj"),
        ("head.head", Kind.WEIGHT, "proj_out"),
        ("blocks_0_ffn_0", Kind.WEIGHT, "blocks.0.ffn.net.0.proj"),
        ("blocks_0_attn1_to_out_0", Kind.WEIGHT, "blocks.0.attn1.to_out.0"),
        ("blocks.0.self_attn.norm_q", Kind.WEIGHT, "blocks.0.attn1.norm_q.weight"),
        ("blocks.0.norm3", Kind.WEIGHT, "blocks.0.norm2.weight"),
        ("blocks_0_norm3", Kind.WEIGHT, "blocks.0.norm2.weight"),
        ("blocks.0", Kind.TABLE, "blocks.0.scale_shift_table"),
        ("blocks.0.modulation", Kind.WEIGHT, "blocks.0.scale_shift_table"),
        ("head", Kind.TABLE, "scale_shift_table"),
        ("head.modulation", Kind.WEIGHT, "scale_shift_table"),
        ("patch_embedding", Kind.WEIGHT, "patch_embedding.weight"),
        ("patch_embedding", Kind.BIAS, None),
        ("blocks.0.self_attn.k", Kind.WEIGHT, None),
    ],
)
def test_names_of_wan_s_own_and_of_kohya_s(module: str, kind: Kind, target: str | None) -> None:
    """As diffusers converts them."""
    assert Names(TARGETS.layers, TARGETS.parameters).find(Address(module, kind)) == target


def test_targets_come_back_as_written(tmp_path: Path) -> None:
    assert read_targets(tmp_path) == {}
    write_targets(tmp_path, {"transformer": TARGETS})
    assert read_targets(tmp_path) == {"transformer": TARGETS}
