"""Engines on TensorRT: which profile, which memory, in which order.

What computes is a double, see `fake_tensorrt`; tests/export/engines/test_loading.py has the real library, as far as it
needs no GPU.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.utils.dlpack import from_dlpack

from pipelines.lora.folder import LoraFolder
from protocol.lora import AppliedLora, AppliedLoras
from protocol.placement import Device
from runtime.engine import Chunk, Engine, EngineUnusable
from runtime.engine_plan import EnginePlan, EnginePlans, EngineProfile
from runtime.gpu_memory import GpuMemory
from runtime.placement import TensorRTFiles
from runtime.tensorrt_engine import open_tensorrt_engine
from runtime.tensorrt_library import LibraryName, LoadedLibrary
from runtime.vae_engine import StreamingEngine
from tests.adapters import random_matrices, save_diffusers
from tests.runtime import fake_tensorrt
from tests.runtime.fake_tensorrt import Plan, context_of, store

LIBRARY = LoadedLibrary(LibraryName.TENSORRT_RTX, fake_tensorrt.__version__, fake_tensorrt)
STREAM = 7
LAYERS = {"a.to_q": (4, 6), "a.to_v": (4, 4)}
ADAPTERS: dict[str, tuple[int, ...]] = {
    f"{layer}.lora_{part}": (fan_in, -1) if part == "A" else (-1, fan_out)
    for layer, (fan_in, fan_out) in LAYERS.items()
    for part in "AB"
}
RANKS = ((0, 0), (1, 8))
"""of profiles without adapters, and with"""


class HostMemory(GpuMemory):
    """The host in place of a GPU."""

    def __init__(self) -> None:
        super().__init__(Device())
        self.turns = 0

    @contextmanager
    def turn(self) -> Iterator[None]:
        self.turns += 1
        yield

    def _make_stream(self) -> Any:
        return SimpleNamespace(cuda_stream=STREAM)


def profile(name: str, x: tuple[int, int], rank: tuple[int, int] = (0, 0)) -> EngineProfile:
    """x: [n, 3] with n in that range."""
    least, most = (
        {"x": (x[end], 3)} | {key: tuple(rank[end] if size < 0 else size for size in s) for key, s in ADAPTERS.items()}
        for end in (0, 1)
    )
    return EngineProfile(name=name, least=least, most=most)


PROFILES = (profile("wide", (1, 9)), profile("two", (2, 2)), profile("wide, adapters", (1, 9), RANKS[1]))
TRANSFORMER = Plan({"x": (-1, 3), **ADAPTERS}, ("y",))


def plans(*engines: EnginePlan, streams_weights: bool = False) -> EnginePlans:
    return EnginePlans(
        library="tensorrt-rtx",
        version=fake_tensorrt.__version__,
        capabilities=("8.9",),
        streams_weights=streams_weights,
        engines=engines,
    )


def engine_plan(name: str = "model", profiles: tuple[EngineProfile, ...] = PROFILES) -> EnginePlan:
    return EnginePlan(graph=f"{name}.onnx", fingerprint="f", engine=f"{name}.plan", profiles=profiles)


def opened(
    folder: Path, there: EnginePlans, memory: HostMemory | None = None, loras: LoraFolder | None = None
) -> Engine:
    files = TensorRTFiles(there, LIBRARY)
    return open_tensorrt_engine(folder, files, Device("cuda"), lambda: loras, 10**6, memory or HostMemory())


def transformer(folder: Path, memory: HostMemory | None = None, loras: LoraFolder | None = None) -> Engine:
    store(folder / "model.plan", TRANSFORMER)
    return opened(folder, plans(engine_plan()), memory, loras)


def outputs(engine: Engine, **inputs: Any) -> dict[str, torch.Tensor]:
    return {name: from_dlpack(value) for name, value in engine.run(inputs).items()}


def test_a_call_computes_with_the_narrowest_profile_on_a_stream_of_its_own(tmp_path: Path) -> None:
    memory = HostMemory()
    engine = transformer(tmp_path, memory)
    for rows in (2, 2, 3):
        x = torch.rand(rows, 3)
        assert torch.equal(outputs(engine, x=x)["y"], x + 1)
    turn = ["memory", f"compute on {STREAM}"]
    context = context_of(tmp_path / "model.plan")
    assert context.calls == ["profile 1", *turn, *turn, "profile 0", *turn], "a profile is set when it changes"
    assert memory.turns == 4, "one to load it, and one per call"


def test_inputs_are_used_where_they_are(tmp_path: Path) -> None:
    engine = transformer(tmp_path)
    x = torch.rand(2, 3)
    y = outputs(engine, x=x)["y"]
    addresses = context_of(tmp_path / "model.plan").addresses
    assert (addresses["x"], addresses["y"]) == (x.data_ptr(), y.data_ptr())
    turned = torch.rand(3, 2).T
    assert torch.equal(outputs(engine, x=turned)["y"], turned + 1)


def test_adapters_that_are_absent_are_empty_at_an_address_that_is_not_null(tmp_path: Path) -> None:
    outputs(transformer(tmp_path), x=torch.rand(2, 3))
    context = context_of(tmp_path / "model.plan")
    assert {context.shapes[name] for name in ADAPTERS} == {(4, 0), (0, 6), (0, 4)}
    assert all(context.addresses[name] for name in ADAPTERS)


def test_adapters_take_the_profile_that_is_for_them(tmp_path: Path) -> None:
    """It is for a rank of one and more in every layer: those that the adapter leaves alone get zeros."""
    save_diffusers(tmp_path / "q.safetensors", random_matrices(LAYERS, 3, seed=0, only="to_q"))
    folder = LoraFolder(tmp_path)
    adapter = folder.by_name("q")
    engine = transformer(tmp_path, loras=folder)
    applied = AppliedLora(file=adapter.path.name, version=adapter.version, scale=1.0)
    text = AppliedLoras(component="transformer", adapters=(applied,)).model_dump_json()
    x = torch.rand(2, 3)
    torch.testing.assert_close(outputs(engine, x=x, lora=text)["y"], x + 1 + 3)
    context = context_of(tmp_path / "model.plan")
    assert context.calls[0] == "profile 2"
    assert (context.shapes["a.to_q.lora_A"], context.shapes["a.to_v.lora_A"]) == ((4, 3), (4, 1))
    assert torch.equal(outputs(engine, x=x)["y"], x + 1), "the next call has none"


def test_engines_of_one_process_share_the_memory_of_their_activations(tmp_path: Path) -> None:
    memory = HostMemory()
    paths = [tmp_path / f"{name}.plan" for name in ("small", "large")]
    for path, size in zip(paths, (1000, 5000), strict=True):
        store(path, Plan({"x": (-1, 3)}, ("y",), activation_bytes=size))
    plan = engine_plan(profiles=(EngineProfile(name="wide", least={"x": (1, 3)}, most={"x": (9, 3)}),))
    small, large = (opened(tmp_path, plans(plan.model_copy(update={"engine": path.name})), memory) for path in paths)
    for engine in (small, large, small):
        outputs(engine, x=torch.rand(1, 3))
    (address, size), (other, most) = (context_of(path).memory for path in paths)
    assert (size, most) == (1000, 5000)
    assert address == other
    strategy = fake_tensorrt.ExecutionContextAllocationStrategy.USER_MANAGED
    assert {context_of(path).config.strategy for path in paths} == {strategy}


VAE = {
    "whole_first": Plan({"latents": (1, 2, 1, -1, -1)}, ("frames", "cache_out_0", "cache_out_1")),
    "whole_next": Plan(
        {"latents": (1, 2, -1, -1, -1), "cache_in_0": (1, 2, 1, -1, -1), "cache_in_1": (1, 2, 1, -1, -1)},
        ("frames", "cache_out_0", "cache_out_1"),
    ),
}


def vae(folder: Path) -> StreamingEngine[Any]:
    made = []
    for name, plan in VAE.items():
        store(folder / f"{name}.plan", plan)
        sizes = EngineProfile(
            name="wide",
            least=dict.fromkeys(plan.inputs, (1, 2, 1, 1, 1)),
            most=dict.fromkeys(plan.inputs, (1, 2, 4, 9, 9)),
        )
        made.append(engine_plan(name, (sizes,)))
    engine = opened(folder, plans(*made))
    assert isinstance(engine, StreamingEngine)
    return engine


def test_a_video_s_caches_go_back_in_where_they_came_out(tmp_path: Path) -> None:
    engine = vae(tmp_path)
    first, later = (tmp_path / f"{name}.plan" for name in VAE)
    z = torch.rand(1, 2, 1, 3, 3)

    def run(start: bool = False, end: bool = False) -> None:
        frames = from_dlpack(engine.run({"latents": z}, Chunk("video", start, end))["frames"])
        assert torch.equal(frames, z + 1)

    def addresses(path: Path, kind: str) -> list[int]:
        return [context_of(path).addresses[f"cache_{kind}_{number}"] for number in range(2)]

    run(start=True)
    came_out = addresses(first, "out")
    run()
    assert addresses(later, "in") == came_out
    came_out = addresses(later, "out")
    (state,) = engine._states.values()
    assert torch.equal(state.by_input["cache_in_1"], z + 1 + 10)
    run(end=True)
    assert addresses(later, "in") == came_out
    assert len(engine) == 0


def test_videos_in_turns_do_not_mix_and_an_empty_chunk_ends_one(tmp_path: Path) -> None:
    engine = vae(tmp_path)
    z = torch.rand(1, 2, 1, 3, 3)
    for name in "ab":
        engine.run({"latents": z}, Chunk(name, start=True))
    caches = [cache.data_ptr() for state in engine._states.values() for cache in state.by_input.values()]
    assert len(set(caches)) == len(caches)
    engine.run({"latents": z[:, :, :0]}, Chunk("a", end=True))
    assert len(engine) == 1
    with pytest.raises(LookupError, match="was not started"):
        engine.run({"latents": z}, Chunk("a"))


def test_what_was_compiled_is_kept_beside_the_engine_and_found_again(tmp_path: Path) -> None:
    kept = tmp_path / "model.plan.cache"
    engine = transformer(tmp_path)
    config = context_of(tmp_path / "model.plan").config
    eager = fake_tensorrt.DynamicShapesKernelSpecializationStrategy.EAGER
    assert config.dynamic_shapes_kernel_specialization_strategy is eager
    config.cache.content = b"for rows of 2"
    outputs(engine, x=torch.rand(2, 3))
    assert kept.read_bytes() == b"for rows of 2"
    config.cache.content = b"changed by nothing new"
    outputs(engine, x=torch.rand(2, 3))
    assert kept.read_bytes() == b"for rows of 2", "written when a size is met for the first time"
    transformer(tmp_path)
    assert context_of(tmp_path / "model.plan").config.cache.content == b"for rows of 2"
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(("streams", "budget"), [(True, 12345), (False, None)])
def test_weights_are_streamed_where_the_engine_was_built_for_it(
    streams: bool, budget: int | None, tmp_path: Path
) -> None:
    store(tmp_path / "model.plan", TRANSFORMER)
    opened(tmp_path, plans(engine_plan(), streams_weights=streams))
    loaded = fake_tensorrt.Runtime.engines[str(tmp_path / "model.plan").encode()]
    assert loaded.weight_streaming_budget_v2 == budget


@pytest.mark.parametrize(
    ("told", "kept"),
    [(None, 12_345), (5_000, 4_000), (500, 0), (11_000, 10_000), (10**9, 10_000)],
)
def test_streamed_weights_take_what_they_may(told: int | None, kept: int, tmp_path: Path) -> None:
    """10,000 bytes can be streamed, and 1,000 more of the engine cannot."""
    path = tmp_path / "model.plan"
    content = bytes(11_000)
    path.write_bytes(content)
    fake_tensorrt.Runtime.plans[content] = TRANSFORMER
    files = TensorRTFiles(plans(engine_plan(), streams_weights=True), LIBRARY)
    open_tensorrt_engine(tmp_path, files, Device("cuda"), lambda: None, 10**6, HostMemory(), told)
    assert fake_tensorrt.Runtime.engines[content].weight_streaming_budget_v2 == kept


def test_a_size_that_it_was_not_built_for(tmp_path: Path) -> None:
    engine = transformer(tmp_path)
    with pytest.raises(EngineUnusable, match=r"model\.plan was not built for x 10x3; it was for: wide; two; wide, ada"):
        engine.run({"x": torch.rand(10, 3)})
    assert torch.equal(outputs(engine, x=torch.zeros(2, 3))["y"], torch.ones(2, 3)), "it goes on"


@pytest.mark.parametrize(
    ("inputs", "error", "message"),
    [
        ({"x": torch.zeros(2, 3, dtype=torch.float16)}, TypeError, r"x must be torch\.float32, not torch\.float16"),
        ({}, ValueError, r"model\.plan needs the input x"),
        ({"x": torch.zeros(2, 3), "z": torch.zeros(1)}, ValueError, r"model\.plan has no input z"),
    ],
)
def test_inputs_that_it_does_not_take(
    inputs: dict[str, torch.Tensor], error: type[Exception], message: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=message):
        transformer(tmp_path).run(inputs)


def test_what_tensorrt_says_is_in_the_error(tmp_path: Path) -> None:
    store(tmp_path / "model.plan", Plan(TRANSFORMER.inputs, ("y",), refuses="out of memory"))
    with pytest.raises(RuntimeError, match=r"model\.plan cannot compute: out of memory$"):
        opened(tmp_path, plans(engine_plan())).run({"x": torch.rand(2, 3)})
    (tmp_path / "model.plan").write_bytes(b"damaged")
    with pytest.raises(EngineUnusable, match=r"model\.plan cannot be loaded: the magic tag does not match$"):
        opened(tmp_path, plans(engine_plan()))
    (tmp_path / "model.plan").write_bytes(b"")
    with pytest.raises(EngineUnusable, match=r"model\.plan cannot be loaded: .*empty file"):
        opened(tmp_path, plans(engine_plan()))


def test_a_video_s_other_graph_is_missed_by_name(tmp_path: Path) -> None:
    vae(tmp_path)
    (tmp_path / "whole_next.onnx").touch()
    with pytest.raises(EngineUnusable, match=r"has no engine of whole_next\.onnx: build it with `python -m export\."):
        opened(tmp_path, plans(engine_plan("whole_first")))
