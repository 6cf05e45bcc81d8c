"""Graphs put together operator by operator, and the memory that they take."""

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch

from export.graph import Session, save
from export.graph_builder import GraphBuilder
from export.graph_memory import GraphMemory

FLOAT = ir.DataType.FLOAT


@pytest.fixture
def model() -> ir.Model:
    """x + 1, each row twice, the lower half of which is also let out."""
    builder = GraphBuilder()
    x = ir.val("x", ir.DataType.FLOAT, ir.Shape(["rows", 3]))
    more = builder.op("Add", x, builder.weights(torch.ones(1)))
    twice = builder.op("Concat", more, more, axis=0)
    lower = builder.slice(twice, 0, builder.size(x, 0))
    return builder.build([x], {"twice": (twice, FLOAT, [None, 3]), "lower": (lower, FLOAT, ["rows", 3])})


def test_sizes_are_those_of_the_tensors_that_come(model: ir.Model, tmp_path: Path) -> None:
    save(model, tmp_path / "model.onnx", external_above=2**31)
    onnx.checker.check_model(onnx.load(tmp_path / "model.onnx"), full_check=True)
    session = Session(tmp_path / "model.onnx")
    for rows in (0, 1, 5):
        x = np.random.default_rng(0).random((rows, 3), np.float32)
        twice, lower = session.run(x)
        np.testing.assert_array_equal(twice, np.concatenate([x + 1, x + 1]))
        np.testing.assert_array_equal(lower, x + 1)


def test_weights_of_equal_numbers_are_there_once(model: ir.Model) -> None:
    builder = GraphBuilder()
    assert builder.integers(1, 2) is builder.integers(1, 2)


def test_memory_is_what_lives_at_once(model: ir.Model) -> None:
    memory = GraphMemory(model, [(5, 3)])
    assert memory.outputs() == [(10, 3), (5, 3)]
    assert memory.outputs("low") == [(5, 3)]
    # the sum is given up once it is there twice; then the twofold, and its lower half, which both stay
    assert memory.peak_bytes() == 4 * 3 * (5 + 10)


def test_what_does_not_fit_together_is_found() -> None:
    builder = GraphBuilder()
    x, y = (ir.val(name, ir.DataType.FLOAT, ir.Shape([None, None])) for name in "xy")
    model = builder.build([x, y], {"both": (builder.op("Concat", x, y, axis=0), FLOAT, [None, None])})
    with pytest.raises(ValueError, match="do not fit"):
        GraphMemory(model, [(2, 3), (2, 4)])
