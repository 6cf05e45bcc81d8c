"""Real engines, built without a GPU by TensorRT for RTX: every graph, in bfloat16 for an RTX 4090."""

from collections.abc import Iterator
from pathlib import Path

import onnx
import pytest
import torch

from export.component import Task, export_component
from export.engines.builder import BuiltEngine, EngineBuilder
from export.engines.errors import EngineError
from export.engines.library import Library, LibraryName, load_library
from export.engines.profiles import Profile, Range
from export.engines.repository import EngineOptions, EngineTask, build_engines, plan_engines
from export.graph import save
from export.options import Options, Precision, Target
from export.wan_t2v import WAN_T2V
from runtime.engine_plan import EnginePlans
from tests.export.test_attention import Attending, traced
from tests.model_cards import model_card

CAPABILITY = "8.9"
OPTIONS = EngineOptions((CAPABILITY,), batch=2, adapter_rank=4)
WITHOUT_ADAPTERS = EngineOptions((CAPABILITY,), batch=2, adapter_rank=0)
"""their profiles take most of the time, and experts are all alike"""
EXPERTS = tuple(f"wan_{kind}_transformer{expert}" for kind in ("t2v", "i2v") for expert in ("", "_2"))
WHOLE = ("whole_first", "whole_next")

WANTED = {
    "wan_text_encoder/model.onnx",
    "wan_ti2v_transformer/model.onnx",
    *(f"{model}/{chunk}.onnx" for model in ("wan_ti2v_vae", "wan_ti2v_vae_encoder") for chunk in WHOLE),
}
WANTED_OF_OTHERS = {
    *(f"{model}/model.onnx" for model in ("wan_text_encoder", "qwen_image_text_encoder")),
    *(f"{model}/model.onnx" for model in (*EXPERTS, "qwen_image_transformer")),
    *(f"{model}/{chunk}.onnx" for model in ("wan_vae", "wan_vae_encoder") for chunk in WHOLE),
    "qwen_image_vae/whole_first.onnx",
}

Built = dict[str, tuple[EngineTask, BuiltEngine]]
"""by the graph that it was built from"""


@pytest.fixture(scope="module")
def library() -> Library:
    return load_library(LibraryName.TENSORRT_RTX)


def build(repository: Path, library: Library) -> Built:
    builder = EngineBuilder(library, OPTIONS.capabilities)
    for plan in repository.glob("*/1/plan.json"):
        plan.unlink()  # of a former run
    tasks = [task for task in plan_engines(repository, OPTIONS) if task.model not in EXPERTS]
    tasks += [task for task in plan_engines(repository, WITHOUT_ADAPTERS) if task.model in EXPERTS]
    done = build_engines(tasks, library, OPTIONS, builder, lambda task: None)
    return {f"{task.model}/{task.graph.name}": (task, engine) for task, engine in done if engine is not None}


@pytest.fixture(scope="module")
def built(for_gpus: Path, library: Library) -> Built:
    return build(for_gpus, library)


def test_every_graph_has_its_engine(built: Built) -> None:
    assert_built(built, WANTED)


def test_attention_is_one_kernel_in_every_profile(built: Built) -> None:
    assert_fused(built)


@pytest.mark.long
def test_the_other_families_have_theirs(others_for_gpus: Path, library: Library) -> None:
    built = build(others_for_gpus, library)
    assert_built(built, WANTED_OF_OTHERS)
    assert_fused(built)


def assert_built(built: Built, wanted: set[str]) -> None:
    assert built.keys() == wanted
    for task, engine in built.values():
        assert engine.path == task.engine
        assert engine.path.stat().st_size > 100_000
    assert not [path for task, _ in built.values() for path in task.graph.parent.glob(".*.part")]


def assert_fused(built: Built) -> None:
    """Attention of transformers and text encoders. The one head of VAEs is too wide for any kernel."""
    for name, (task, engine) in built.items():
        graph = onnx.load(str(task.graph), load_external_data=False).graph
        assert engine.attentions == sum(node.op_type == "Attention" for node in graph.node)
        if task.must_fuse:
            assert engine.attentions > 0
            assert engine.fused_attentions == engine.attentions * len(task.profiles), name


def test_plan_json_says_what_each_was_built_for(built: Built, for_gpus: Path, library: Library) -> None:
    plans = EnginePlans.read(for_gpus / "wan_ti2v_transformer" / "1")
    plans.check("tensorrt-rtx", library.version, CAPABILITY)
    (plan,) = plans.engines
    assert [profile.name for profile in plan.profiles] == ["wide", "64x64x9", "wide, adapters", "64x64x9, adapters"]
    assert [plan.profiles[number].sizes["rank"] for number in (0, 2)] == [(0, 0), (1, 4)]
    least, most = plan.profiles[1].least, plan.profiles[1].most
    assert (least["hidden_states"][0], most["hidden_states"][0]) == (1, OPTIONS.batch)
    assert least["hidden_states"][1:] == most["hidden_states"][1:]
    frames, height, width = least["hidden_states"][2:]
    sizes = plan.profiles[1].sizes
    assert [sizes[name] for name in ("frames", "height", "width")] == [(frames,) * 2, (height,) * 2, (width,) * 2]
    assert least["timestep"] == (1, frames * (height // 2) * (width // 2))
    adapters = [name for name in least if ".lora_" in name]
    assert len(adapters) > 20
    assert all(0 in most[name] for name in adapters)
    assert all(plan.profiles[3].most[name].count(4) >= 1 for name in adapters)
    assert {engine.engine for engine in EnginePlans.read(for_gpus / "wan_ti2v_vae" / "1").engines} == {
        "whole_first.plan",
        "whole_next.plan",
    }


def test_what_is_built_is_not_built_again(built: Built, for_gpus: Path, library: Library) -> None:
    def again(options: EngineOptions, model: str) -> Iterator[BuiltEngine | None]:
        builder = EngineBuilder(library, options.capabilities)
        tasks = plan_engines(for_gpus, options, [model])
        return (engine for _, engine in build_engines(tasks, library, options, builder, lambda task: None))

    assert list(again(OPTIONS, "wan_ti2v_vae")) == [None, None]
    (engine,) = again(EngineOptions((CAPABILITY,), adapter_rank=0), "wan_text_encoder")
    assert engine is None  # it takes no adapters
    (other,) = again(EngineOptions(("8.6",)), "wan_text_encoder")
    assert other is not None
    assert EnginePlans.read(for_gpus / "wan_text_encoder" / "1").capabilities == ("8.6",)


def test_a_vae_stays_float32_where_it_is_to_be(tiny_checkpoint: Path, library: Library, tmp_path: Path) -> None:
    """Its attention, which no fused kernel exists for, is computed in parts."""
    (part,) = [part for part in WAN_T2V.parts if part.component == "vae"]
    version = tmp_path / "wan_vae" / "1"
    version.parent.mkdir()
    options = Options(Target.ONNX, Precision.BFLOAT16, vae_precision=Precision.FLOAT32)
    export_component(Task(part, tiny_checkpoint / "vae", version, "c", "e"), options, lambda stage: None)
    card = model_card()
    latents = Range.only(1), Range.only(card.defaults.height // 8), Range.only(card.defaults.width // 8)
    names = ("batch", "latent_frames", "latent_height", "latent_width")
    profile = Profile("only", dict(zip(names, (Range.only(1), *latents), strict=True)), Range.only(0))
    builder = EngineBuilder(library, (CAPABILITY,))
    engine = builder.build(version / "whole_next.onnx", [profile], must_fuse=False, engine=tmp_path / "next.plan")
    assert (engine.attentions, engine.fused_attentions) == (1, 0)
    weights = sum(file.stat().st_size for file in version.glob("whole_next.onnx*"))
    assert engine.path.stat().st_size > 0.8 * weights, "they were made half precision"


def test_float32_attention_has_no_kernel(library: Library, tmp_path: Path) -> None:
    """The engine would hold tokens x tokens numbers, so it is an error, with what to do."""
    graph, built = tmp_path / "graph" / "model.onnx", tmp_path / "built"
    graph.parent.mkdir()
    built.mkdir()
    save(traced(Attending(tokens_first=False), *(torch.randn(2, 4, 64, 64) for _ in range(3))), graph, 10**9)
    builder = EngineBuilder(library, (CAPABILITY,))
    profile = Profile("only", {"batch": Range.only(2)}, Range.only(0))
    message = r"no fused attention kernel for its precision and head size .* --target onnx --precision bfloat16"
    with pytest.raises(EngineError, match=message):
        builder.build(graph, [profile], must_fuse=True, engine=built / "model.plan")
    assert list(built.iterdir()) == []


@pytest.mark.parametrize(
    ("capabilities", "message"),
    [
        (
            ("9.0",),
            r"does not build for compute capability 9\.0; it does for 7\.5, 8\.0, 8\.6, 8\.9, 12\.0, 12\.1\. Data",
        ),
        (("8.9", "fast"), "does not build for compute capability fast"),
    ],
)
def test_a_gpu_that_the_library_does_not_know(capabilities: tuple[str, ...], message: str, library: Library) -> None:
    with pytest.raises(EngineError, match=message):
        EngineBuilder(library, capabilities)


def test_a_missing_library_is_named_with_its_wheel() -> None:
    with pytest.raises(EngineError, match=r"tensorrt cannot be loaded .*: pip install tensorrt-cu13-bindings"):
        load_library(LibraryName.TENSORRT)


@pytest.mark.parametrize("damage", [b"", b"no graph"])
def test_a_damaged_graph(damage: bytes, library: Library, tmp_path: Path) -> None:
    graph = tmp_path / "model.onnx"
    graph.write_bytes(damage)
    with pytest.raises(EngineError, match=r"model\.onnx cannot be read"):
        EngineBuilder(library, (CAPABILITY,)).build(graph, [], must_fuse=False, engine=tmp_path / "model.plan")
