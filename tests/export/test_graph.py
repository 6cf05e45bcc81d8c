"""Tracing and saving one graph."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from export.graph import Graph, Session, save, trace


@pytest.fixture(scope="module")
def linear() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(64, 32)  # 8,320 bytes of weights


def graph_of(linear: nn.Module) -> Graph:
    return Graph("linear.onnx", linear, (torch.randn(2, 64),), {"input": {0: "batch"}}, ["x"], ["y"])


@pytest.mark.parametrize(("external_above", "external"), [(8_319, True), (8_320, False)])
def test_weights_above_the_threshold_go_beside_the_graph(
    linear: nn.Linear, tmp_path: Path, external_above: int, external: bool
) -> None:
    built = tmp_path / "built"
    built.mkdir()
    save(trace(graph_of(linear)), built / "linear.onnx", external_above)
    assert (built / "linear.onnx.data").exists() == external

    # the folder is moved into the repository afterwards, so the reference must be relative
    moved = built.rename(tmp_path / "moved")
    x = torch.randn(5, 64)
    (y,) = Session(moved / "linear.onnx").run(x.numpy())
    np.testing.assert_allclose(y, linear(x).detach().numpy(), atol=1e-5)


def test_nodes_name_the_modules_they_come_from_but_no_source_lines(tmp_path: Path) -> None:
    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(4, 4)

        def forward(self, input: Tensor) -> Tensor:
            return torch.relu(self.inner(input))

    graph = Graph("outer.onnx", Outer(), (torch.randn(2, 4),), {"input": {0: "batch"}}, ["x"], ["y"])
    save(trace(graph), tmp_path / "outer.onnx", external_above=10**9)
    metadata = [
        {entry.key: entry.value for entry in node.metadata_props}
        for node in onnx.load(tmp_path / "outer.onnx").graph.node
    ]
    assert any("'inner'" in entries["pkg.torch.onnx.name_scopes"] for entries in metadata)
    assert __file__ not in (tmp_path / "outer.onnx").read_bytes().decode("latin-1")
