"""Modules whose weights stay in the checkpoint's files are as those that are loaded, whatever the files are like."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from export.component import Task, Traces, export_component
from export.errors import CheckpointError
from export.family import Part
from export.graph import BuiltGraph, save
from export.mapped_module import MappedModule
from export.options import Form, Options, Precision, Target
from export.qwen_image import QWEN_IMAGE
from export.stored_weights import StoredWeights
from export.wan_t2v import WAN_T2V
from export.weights_file import WEIGHTS_FILE

PARTS = {part.component: part for part in WAN_T2V.parts}
STORED = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
    "fp8": torch.float8_e4m3fn,
}


def store(folder: Path, dtype: torch.dtype, shards: int = 1) -> None:
    """Store a component's weights again, all of them numbers that every type has."""
    (file,) = folder.glob("*.safetensors")
    weights = {
        name: weight.float().clamp(-400, 400).to(torch.float8_e4m3fn).to(torch.float32).to(dtype)
        for name, weight in load_file(file).items()
    }
    if shards == 1:
        save_file(weights, file, metadata={"format": "pt"})
        return
    file.unlink()
    names = {
        name: f"{file.stem}-{number % shards + 1:05}-of-{shards:05}.safetensors" for number, name in enumerate(weights)
    }
    for shard in set(names.values()):
        save_file({name: weights[name] for name in weights if names[name] == shard}, folder / shard, {"format": "pt"})
    (folder / f"{file.name}.index.json").write_text(json.dumps({"metadata": {}, "weight_map": names}))


@pytest.fixture(scope="module")
def exported(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """The same text encoder, stored in several ways, exported in bfloat16 with its weights beside the graph."""
    traces: Traces = {}
    versions = {}
    for name, dtype, shards in [*((name, dtype, 1) for name, dtype in STORED.items()), ("shards", torch.float32, 3)]:
        folder = tmp_path_factory.mktemp(name)
        shutil.copytree(tiny_checkpoint / "text_encoder", folder / "text_encoder")
        store(folder / "text_encoder", dtype, shards)
        versions[name] = folder / "1"
        task = Task(PARTS["text_encoder"], folder / "text_encoder", versions[name], "weights", "exporter")
        options = Options(Target.ONNX, Precision.BFLOAT16, external_above=0)
        export_component(task, options, lambda stage: None, traces)
    return versions


@pytest.mark.parametrize("name", [*list(STORED)[1:], "shards"])
def test_graphs_are_the_same_whatever_the_checkpoint_stores(name: str, exported: Mapping[str, Path]) -> None:
    expected, version = exported["float32"], exported[name]
    assert sorted(file.name for file in version.iterdir()) == ["model.onnx", "source.json", WEIGHTS_FILE]
    for file in ("model.onnx", WEIGHTS_FILE):
        assert (version / file).read_bytes() == (expected / file).read_bytes()


def test_the_graph_refers_to_places_in_one_file_of_weights(exported: Mapping[str, Path]) -> None:
    version = exported["float32"]
    written = load_file(version / WEIGHTS_FILE)
    weights = {
        name: tensor for name, tensor in written.items() if name.endswith("DenseReluDense.wi_0.weight.transposed")
    }
    assert len(weights) == 2
    graph = onnx.load(version / "model.onnx", load_external_data=False).graph
    places = {tuple(entry.value for entry in one.external_data) for one in graph.initializer if one.external_data}
    assert len(places) == len(written)
    assert {location for location, _, _ in places} == {WEIGHTS_FILE}
    read = [value.const_value for value in ir.load(version / "model.onnx").graph.initializers.values()]
    arrays = [tensor.numpy().astype(np.float32) for tensor in read if isinstance(tensor, ir.ExternalTensor)]
    for weight in weights.values():
        assert any(array.shape == weight.shape and (array == weight.float().numpy()).all() for array in arrays)


COMPONENTS = [
    *((part, precision) for part in WAN_T2V.parts for precision in sorted(part.precisions)),
    *((part, Precision.BFLOAT16) for part in QWEN_IMAGE.parts),
]


@pytest.mark.parametrize(("part", "precision"), COMPONENTS, ids=lambda one: getattr(one, "model", one))
def test_types_are_those_that_the_class_loads_its_weights_in(
    part: Part, precision: Precision, tiny_checkpoint: Path, qwen_checkpoint: Path, tmp_path: Path
) -> None:
    """Islands of float32 among them."""
    checkpoint = tiny_checkpoint if part in WAN_T2V.parts else qwen_checkpoint
    folder = checkpoint / part.source
    loaded, mapped = part.load(folder, precision), MappedModule(part.load, folder, precision, tmp_path)
    expected = dict(loaded.named_parameters())
    assert {name: weight.dtype for name, weight in mapped.module.named_parameters()} == {
        name: weight.dtype for name, weight in expected.items()
    }
    assert mapped.stored.keys() == expected.keys()
    for name, weight in expected.items():
        assert torch.equal(mapped.stored[name].to(weight.dtype), weight)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("precision", [Precision.FLOAT32, Precision.BFLOAT16])
@pytest.mark.parametrize("component", ["text_encoder", "transformer", "vae"])
def test_it_computes_what_the_loaded_one_does(
    component: str, precision: Precision, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    part, folder = PARTS[component], tmp_path / component
    shutil.copytree(tiny_checkpoint / component, folder)
    store(folder, torch.float16)
    mapped = MappedModule(part.load, folder, precision, tmp_path)
    with mapped.computing(mapped.stored) as module:
        result = run(component, module)
    assert torch.equal(result, run(component, part.load(folder, precision)))
    assert not any(layer._forward_hooks or layer._forward_pre_hooks for layer in mapped.module.modules())


def run(component: str, module: torch.nn.Module) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        result: Tensor
        if component == "text_encoder":
            result = module(torch.arange(9)[None]).last_hidden_state
        elif component == "vae":
            latents = torch.randn(1, 16, 2, 4, 4, generator=generator)
            result = module.decode(latents.to(module.dtype)).sample  # type: ignore[operator, arg-type]
        else:
            latents = torch.randn(1, 16, 3, 4, 4, generator=generator)
            text = torch.randn(1, 5, 32, generator=generator)
            half = latents.to(module.dtype), torch.tensor([500.0]), text.to(module.dtype)  # type: ignore[arg-type]
            (result,) = module(*half, return_dict=False)
    return result


def test_a_vae_that_is_stored_in_half_precision_is_built_as_its_float32_twin(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    part, files = PARTS["vae"], []
    for name, dtype in STORED.items():
        folder = tmp_path / name / "vae"
        shutil.copytree(tiny_checkpoint / "vae", folder)
        store(folder, dtype)
        mapped = MappedModule(part.load, folder, Precision.BFLOAT16, tmp_path)
        with mapped.as_stored():
            graph = part.graphs(mapped.module, Form(Precision.BFLOAT16, is_for_gpu=True))[0]
            assert isinstance(graph, BuiltGraph)
            files.append(tmp_path / f"{name}.onnx")
            save(graph.build(), files[-1], external_above=2**31)
    assert len({file.read_bytes() for file in files}) == 1


def test_a_damaged_file_is_named(tiny_checkpoint: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_checkpoint / "text_encoder", tmp_path / "text_encoder"))
    file = folder / "model.safetensors"
    whole = file.read_bytes()
    for damaged in (whole[:5], whole[:100], whole[:-1], b"\xff" * 64, b""):
        file.write_bytes(damaged)
        with pytest.raises(CheckpointError, match=rf"{file} cannot be read: "):
            StoredWeights(folder)


def test_weights_that_are_missing_are_named_with_the_checkpoint_s_folder(tiny_checkpoint: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_checkpoint / "text_encoder", tmp_path / "text_encoder"))
    weights = load_file(folder / "model.safetensors")
    del weights["encoder.final_layer_norm.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    part = PARTS["text_encoder"]
    with pytest.raises(CheckpointError, match=rf"{folder} lacks 1 weights .* encoder.final_layer_norm.weight"):
        MappedModule(part.load, folder, Precision.BFLOAT16, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["text_encoder"]
