"""Graphs of one operator, in a dtype of one's choice."""

from pathlib import Path

import onnx
from onnx import TensorProto, helper


def save_graph(path: Path, operator: str, dtype: TensorProto.DataType) -> None:
    """y = operator(x) or, for one that takes two, y = operator(x, w), where `w` is an optional input [1] of 2.

    Args:
        dtype: of them all; x and y are [n, m].
    """
    x, y = (helper.make_tensor_value_info(name, dtype, ["n", "m"]) for name in "xy")
    if operator == "Identity":
        graph = helper.make_graph([helper.make_node(operator, ["x"], ["y"])], "graph", [x], [y])
    else:
        w = helper.make_tensor_value_info("w", dtype, [1])
        two = helper.make_tensor("w", dtype, [1], [2.0])
        graph = helper.make_graph([helper.make_node(operator, ["x", "w"], ["y"])], "graph", [x, w], [y], [two])
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
