"""One trace serves several components of one configuration, and gives each what its own trace would have given."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from export import umt5
from export.component import Task, Traces, export_component
from export.graph import Graph, Session, save, trace
from export.options import Options
from export.shared_trace import SharedTrace, distinct_weights, find_weights, trace_apart
from export.tiny import LayoutName, build
from export.wan_t2v import WAN_T2V


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


def shared_trace(module: nn.Module) -> SharedTrace | None:
    with distinct_weights(module):
        model = trace(graph_of(module))
        weights = find_weights(model, module)
    return None if weights is None else SharedTrace(model, weights)


def assert_is(shared: SharedTrace, module: nn.Module, folder: Path) -> None:
    """The trace filled with the module's weights computes what the module does."""
    save(shared.fill(module), folder / "model.onnx", external_above=10**9)
    x = torch.randn(5, 80)
    (y,) = Session(folder / "model.onnx").run(x.numpy())
    np.testing.assert_allclose(y, module(x).detach().numpy(), atol=1e-5)


def test_a_trace_is_filled_with_the_weights_of_each(tmp_path: Path) -> None:
    untrained, trained = Layers(seed=0), Layers(seed=1)
    for parameter in trained.parameters():
        parameter.data += torch.rand_like(parameter)  # no norm is equal to another any more
    shared = shared_trace(untrained)
    assert shared is not None
    for module in (untrained, trained, untrained):
        assert_is(shared, module, tmp_path)


def test_tracing_leaves_the_weights_as_they_were() -> None:
    module = Layers(seed=0)
    before = {name: parameter.clone() for name, parameter in module.named_parameters()}
    with distinct_weights(module):
        first, second = (norm.get_parameter("weight") for norm in module.norms[:2])
        assert not torch.equal(first, second)
    for name, parameter in module.named_parameters():
        assert torch.equal(parameter, before[name])


def test_weights_that_cannot_be_told_apart_share_no_trace() -> None:
    class Twins(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(80, 80, bias=False), nn.Linear(80, 80, bias=False)
            self.second.weight.data = self.first.weight.data.clone()

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.second(self.first(x[:, None]))  # of three dimensions: the weights are transposed
            return y

    assert shared_trace(Twins()) is None


def test_a_module_of_another_configuration_is_refused() -> None:
    shared = shared_trace(Layers(seed=0))
    assert shared is not None
    with pytest.raises(ValueError, match="not of the configuration"):
        shared.fill(nn.Linear(80, 80))


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


def test_traced_apart_every_parameter_but_matrices_has_its_name_and_its_values(tmp_path: Path) -> None:
    """Untrained norms are equal, and would be one otherwise."""
    module = Folded(seed=0)
    model = trace_apart(graph_of(module))
    for name, parameter in module.named_parameters():
        if parameter.ndim != 2:
            tensor = model.graph.initializers[name].const_value
            assert tensor is not None, name
            np.testing.assert_array_equal(tensor.numpy().reshape(-1), parameter.detach().numpy().reshape(-1))
    save(model, tmp_path / "model.onnx", external_above=10**9)
    x = torch.randn(5, 80)
    (y,) = Session(tmp_path / "model.onnx").run(x.numpy())
    np.testing.assert_allclose(y, module(x).detach().numpy(), atol=1e-5)
