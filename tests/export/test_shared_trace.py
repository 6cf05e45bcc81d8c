"""One trace serves several components of one configuration, and gives each what its own trace would have given."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from export import umt5
from export.component import Task, Traces, export_component
from export.graph import Graph, Session, save
from export.options import Options
from export.shared_trace import SharedTrace, trace_apart
from export.tiny import LayoutName, build
from export.wan_t2v import WAN_T2V
from export.weights_file import write_weights


class Layers(nn.Module):
    """A large layer, a small one, and norms whose weights are equal as long as they are not trained."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.large, self.small = nn.Linear(80, 80), nn.Linear(80, 4)
        self.norms = nn.ModuleList([nn.LayerNorm(80) for _ in range(3)])

    def forward(self, x: Tensor) -> Tensor:
        x = self.norms[1](self.large(self.norms[0](x)))
        y: Tensor = self.small(self.norms[2](x))
        return y


def graph_of(module: nn.Module) -> Graph:
    return Graph("model.onnx", module, (torch.randn(2, 80),), {"x": {0: "batch"}}, ["x"], ["y"])


def shared_trace(module: nn.Module) -> SharedTrace:
    traced = trace_apart(graph_of(module), dict(module.named_parameters()))
    assert {entry.parameter for entry in traced.weights.values()} == dict(module.named_parameters()).keys()
    assert not traced.computed
    return SharedTrace(traced.model, traced.weights)


def assert_is(shared: SharedTrace, module: nn.Module, folder: Path) -> None:
    """The trace with the module's weights, in the graph or beside it, computes what the module does."""
    weights = {name: parameter.detach() for name, parameter in module.named_parameters()}
    x = torch.randn(5, 80)
    expected = module(x).detach().numpy()
    save(shared.fill(weights), folder / "inside.onnx", external_above=10**9)
    places = write_weights(folder, shared.entries, weights, "made from", None, lambda progress: None)
    save(shared.refer(folder, places), folder / "beside.onnx", external_above=10**9)
    for file in ("inside.onnx", "beside.onnx"):
        (y,) = Session(folder / file).run(x.numpy())
        np.testing.assert_allclose(y, expected, atol=1e-5)


def test_a_trace_is_filled_with_the_weights_of_each(tmp_path: Path) -> None:
    untrained, trained = Layers(seed=0), Layers(seed=1)
    for parameter in trained.parameters():
        parameter.data += torch.rand_like(parameter)  # no norm is equal to another any more
    shared = shared_trace(untrained)
    for module in (untrained, trained, untrained):
        assert_is(shared, module, tmp_path)


def test_tracing_leaves_the_weights_as_they_were() -> None:
    module = Layers(seed=0)
    before = {name: parameter.clone() for name, parameter in module.named_parameters()}
    shared_trace(module)
    for name, parameter in module.named_parameters():
        assert torch.equal(parameter, before[name])


def test_what_is_computed_from_weights_and_what_nothing_uses_is_told() -> None:
    class Computing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cast = nn.Parameter(torch.randn(80).to(torch.bfloat16))
            self.used, self.unused = nn.Linear(80, 80), nn.Linear(80, 80)

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.used(x) * self.cast.float()
            self.unused(x)
            return y

    module = Computing()
    traced = trace_apart(graph_of(module), dict(module.named_parameters()))
    assert traced.computed == {"cast"}
    assert {entry.parameter for entry in traced.weights.values()} == {"used.weight", "used.bias"}


def test_weights_are_told_apart_by_where_they_are_even_if_they_are_equal(tmp_path: Path) -> None:
    class Twins(nn.Module):
        def __init__(self, seed: int) -> None:
            super().__init__()
            torch.manual_seed(seed)
            self.first, self.second = nn.Linear(80, 80, bias=False), nn.Linear(80, 80, bias=False)
            if seed == 0:
                self.second.weight.data = self.first.weight.data.clone()

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.second(self.first(x[:, None]))  # of three dimensions: the weights are transposed
            return y[:, 0]

    shared = shared_trace(Twins(0))
    assert {entry.is_transposed for entry in shared.entries} == {True}
    for seed in (0, 1):
        assert_is(shared, Twins(seed), tmp_path)


def test_components_of_one_configuration_are_traced_once_and_each_is_compared(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    build(tmp_path / "other", LayoutName.TWO_EXPERTS, seed=1)
    (part,) = [part for part in WAN_T2V.parts if part.component == "text_encoder"]
    heard: list[str] = []
    traces: Traces = {}
    for number, checkpoint in enumerate((tiny_checkpoint, tmp_path / "other")):
        task = Task(part, checkpoint / "text_encoder", tmp_path / str(number), f"weights {number}", "exporter")
        exported = export_component(task, Options(), heard.append, traces)
        assert exported.source.max_difference < 1e-4
    assert sum("tracing" in stage for stage in heard) == 1
    first, second = ((tmp_path / name / "model.onnx").read_bytes() for name in "01")
    assert first != second


def test_an_encoder_is_not_filled_with_another_vocabulary(tiny_checkpoint: Path, tmp_path: Path) -> None:
    encoder: Any = umt5.load(tiny_checkpoint / "text_encoder")
    (part,) = [part for part in WAN_T2V.parts if part.component == "text_encoder"]
    folder = tmp_path / "text_encoder"
    encoder.config.vocab_size += 1
    encoder.config.save_pretrained(folder)
    task = Task(part, tiny_checkpoint / "text_encoder", tmp_path / "1", "", "")
    assert Task(part, folder, tmp_path / "1", "", "").trace_key != task.trace_key


class Folded(Layers):
    """Whose tables are equal, and are used in another shape, which the exporter computes beforehand."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.tables = nn.ParameterList([torch.ones(1, 1, 4) for _ in range(2)])

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = super().forward(x) * self.tables[0].reshape(4) + self.tables[1].unsqueeze(0).squeeze(1)
        return y


def test_every_parameter_but_matrices_has_its_name_and_its_values(tmp_path: Path) -> None:
    """Untrained norms are equal, and would be one otherwise."""
    module = Folded(seed=0)
    shared = shared_trace(module)
    model = shared.fill({name: parameter.detach() for name, parameter in module.named_parameters()})
    for name, parameter in module.named_parameters():
        if parameter.ndim != 2:
            tensor = model.graph.initializers[name].const_value
            assert tensor is not None, name
            np.testing.assert_array_equal(tensor.numpy().reshape(-1), parameter.detach().numpy().reshape(-1))
    assert_is(shared, module, tmp_path)
