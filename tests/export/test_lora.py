"""Transformers' graphs that take adapters: without one nothing changes, with one the linear layers do."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray

from export import qwen_transformer, wan_transformer
from export.attention import fuse_attention
from export.graph import Graph, save
from export.lora import adapter_targets, add_adapter_inputs
from export.quiet import quiet_libraries
from export.shared_trace import SharedTrace, trace_apart

Feeds = dict[str, NDArray[Any]]


def traced_apart(graph: Graph) -> ir.Model:
    parameters = dict(graph.module.named_parameters())
    traced = trace_apart(graph, parameters)
    return SharedTrace(traced.model, traced.weights).fill(parameters)


class Traced:
    """The tiny transformer, traced once; graphs made of it are files in a folder."""

    def __init__(self, transformer: Any, folder: Path) -> None:
        self.transformer = transformer
        self.graph: Graph
        (self.graph,) = wan_transformer.graphs(transformer)
        self._proto = ir.to_proto(traced_apart(self.graph))
        self._folder = folder
        self.adaptable: set[str] = set()

    def session(self, fused: bool, adapters: bool) -> onnxruntime.InferenceSession:
        model = ir.from_proto(self._proto)
        if adapters:
            self.adaptable = add_adapter_inputs(model, self.graph.module)
        if fused:
            assert fuse_attention(model) > 0
        path = self._folder / f"{fused}-{adapters}.onnx"
        save(model, path, external_above=2**30)
        return onnxruntime.InferenceSession(path)

    def feeds(self, batch: int = 2, frames: int = 3, size: tuple[int, int] = (8, 12), tokens: int = 9) -> Feeds:
        generator = torch.Generator().manual_seed(batch)
        shapes = ((batch, 16, frames, *size), (batch,), (batch, tokens, self.transformer.config.text_dim))
        arrays = (torch.randn(shape, generator=generator).numpy() for shape in shapes)
        return dict(zip(self.graph.inputs, arrays, strict=True))


@pytest.fixture(scope="module")
def traced(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Traced:
    quiet_libraries()
    return Traced(wan_transformer.load(tiny_checkpoint / "transformer"), tmp_path_factory.mktemp("graphs"))


@pytest.mark.parametrize("fused", [False, True], ids=["standard", "fused attention"])
def test_without_an_adapter_every_bit_is_what_it_was(fused: bool, traced: Traced) -> None:
    plain, adaptable = traced.session(fused, adapters=False), traced.session(fused, adapters=True)
    calls: list[dict[str, Any]] = [
        {"batch": 1, "frames": 1, "size": (4, 4), "tokens": 1},
        {"batch": 2, "frames": 3, "size": (8, 12), "tokens": 64},
        {"batch": 3, "frames": 5, "size": (16, 10), "tokens": 512},
    ]
    for sizes in calls:
        feeds = traced.feeds(**sizes)
        (before,), (after,) = plain.run(None, feeds), adaptable.run(None, feeds)
        np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("fused", [False, True], ids=["standard", "fused attention"])
def test_an_adapter_adds_its_product_to_the_weight(fused: bool, traced: Traced) -> None:
    """Of every linear layer, in one call with a rank of its own for each."""
    generator = np.random.default_rng(0)
    feeds: Feeds = {}
    added: Feeds = {}
    for rank, (name, (fan_in, fan_out)) in enumerate(adapter_targets(traced.transformer).layers.items(), start=1):
        down = generator.standard_normal((fan_in, rank)).astype(np.float32) / fan_in**0.5
        up = generator.standard_normal((rank, fan_out)).astype(np.float32) * 0.2 / rank**0.5
        feeds |= {f"{name}.lora_A": down, f"{name}.lora_B": up}
        added[f"{name}.weight"] = (down @ up).T
    assert_equals_module(traced, fused, feeds, added)


@pytest.mark.parametrize("fused", [False, True], ids=["standard", "fused attention"])
def test_an_adapter_adds_its_differences_to_the_other_parameters(fused: bool, traced: Traced) -> None:
    """Biases, norms, modulation tables and the patch embedding."""
    generator = np.random.default_rng(0)
    added = {
        name: generator.standard_normal(shape).astype(np.float32) * 0.1
        for name, shape in adapter_targets(traced.transformer).parameters.items()
    }
    assert_equals_module(traced, fused, {f"{name}.diff": difference for name, difference in added.items()}, added)


def assert_equals_module(traced: Traced, fused: bool, adapter: Feeds, added: Feeds) -> None:
    """The graph fed with `adapter` is the transformer with `added` in its weights, and not the one without."""
    adaptable = traced.session(fused, adapters=True)
    feeds = traced.feeds()
    merged = wan_transformer.load(Path(traced.transformer.config._name_or_path))
    for name, difference in added.items():
        merged.get_parameter(name).add_(torch.from_numpy(difference))
    tensors = [torch.from_numpy(feeds[name]) for name in traced.graph.inputs]
    with torch.no_grad():
        expected = merged(*tensors, return_dict=False)[0].numpy()
        plain = traced.transformer(*tensors, return_dict=False)[0].numpy()
    (adapted,) = adaptable.run(None, feeds | adapter)
    np.testing.assert_allclose(adapted, expected, atol=1e-4)
    assert np.abs(adapted - plain).max() > 0.1


def test_everything_that_an_adapter_may_change_has_an_input(traced: Traced) -> None:
    adaptable = traced.session(fused=True, adapters=True)
    targets = adapter_targets(traced.transformer)
    assert traced.adaptable == targets.layers.keys() | targets.parameters.keys()
    assert {"blocks.0.attn1.to_q", "blocks.1.ffn.net.0.proj", "condition_embedder.time_proj", "proj_out"} <= set(
        targets.layers
    )
    assert {
        "blocks.0.attn1.norm_q.weight",
        "blocks.1.norm2.bias",
        "blocks.1.scale_shift_table",
        "patch_embedding.weight",
        "scale_shift_table",
    } <= set(targets.parameters)
    optional = {value.name: value.shape for value in adaptable.get_overridable_initializers()}
    low_rank = {
        f"{layer}.lora_{letter}": shape
        for layer, (fan_in, fan_out) in targets.layers.items()
        for letter, shape in (("A", [fan_in, f"{layer}.rank"]), ("B", [f"{layer}.rank", fan_out]))
    }
    assert optional == low_rank | {f"{name}.diff": list(shape) for name, shape in targets.parameters.items()}
    assert [value.name for value in adaptable.get_inputs()] == list(traced.graph.inputs)


def test_qwen_image_s_too(qwen_checkpoint: Path, tmp_path: Path) -> None:
    """All but what nothing uses: the end of the last block's text branch."""
    transformer: Any = qwen_transformer.load(qwen_checkpoint / "transformer")
    (graph,) = qwen_transformer.graphs(transformer)
    proto = ir.to_proto(traced_apart(graph))
    plain, adaptable = (ir.from_proto(proto) for _ in range(2))
    added = add_adapter_inputs(adaptable, graph.module)
    targets = adapter_targets(transformer)
    last = f"transformer_blocks.{transformer.config.num_layers - 1}."
    unused = (targets.layers.keys() | targets.parameters.keys()) - added
    assert all(name.startswith(last) for name in unused)
    assert {"transformer_blocks.0.attn.norm_added_k.weight", "txt_norm.weight", "img_in.bias", "img_in"} <= added
    sessions = []
    for name, model in (("plain", plain), ("adaptable", adaptable)):
        save(model, tmp_path / name, external_above=2**30)
        sessions.append(onnxruntime.InferenceSession(tmp_path / name))
    feeds = {name: tensor.numpy() for name, tensor in zip(graph.inputs, graph.example, strict=True)}
    before, after = (session.run(None, feeds)[0] for session in sessions)
    np.testing.assert_array_equal(before, after)

    generator = np.random.default_rng(0)
    for name in targets.parameters.keys() & added:
        parameter = transformer.get_parameter(name)
        feeds[f"{name}.diff"] = generator.standard_normal(parameter.shape).astype(np.float32) * 0.1
        parameter.data = parameter.data + torch.from_numpy(feeds[f"{name}.diff"])
    with torch.no_grad():
        expected = graph.module(*graph.example).numpy()
    (adapted,) = sessions[1].run(None, feeds)
    np.testing.assert_allclose(adapted, expected, atol=1e-4)
    assert np.abs(adapted - before).max() > 0.1
