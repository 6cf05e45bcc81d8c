"""Graphs for GPUs in a form that ONNX Runtime computes on the CPU, to see what they compute.

In half precision every operator computes in float32 on rounded operands and rounds its result, as a GPU does operator
by operator. What goes from one operator to the next keeps its half type, and so do weights: they are widened where they
are used, so that the graph may refer to the same file.
"""

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass, ShapeInferencePass

from export.attention import expand_masks, fuse_attention

_HALF = (ir.DataType.BFLOAT16, ir.DataType.FLOAT16)
_MOVES = {
    "Cast",
    "Concat",
    "Flatten",
    "Gather",
    "Identity",
    "Reshape",
    "Shape",
    "Slice",
    "Split",
    "Squeeze",
    "Transpose",
    "Unsqueeze",
}
"""operators that compute nothing, and that ONNX Runtime has for half precision on the CPU"""


def emulate(model: ir.Model) -> ir.Model:
    """The graph in that form; `model` is changed."""
    expand_masks(model.graph)
    if any(value.dtype in _HALF for value in _values(model.graph)):
        model = ShapeInferencePass()(model).model  # not every value says its type
        wide: dict[ir.Value, ir.Value] = {}
        for node in list(model.graph):
            if node.op_type not in _MOVES:
                _widen(model.graph, node, wide)
        _widen_weights_late(model.graph)
        RemoveUnusedNodesPass()(model)
    fuse_attention(model)
    return model


def _values(graph: ir.Graph) -> list[ir.Value]:
    return [*graph.inputs, *graph.initializers.values(), *(value for node in graph for value in node.outputs)]


def _widen(graph: ir.Graph, node: ir.Node, wide: dict[ir.Value, ir.Value]) -> None:
    """Have one node compute in float32.

    Args:
        wide: the float32 form of each half value, as they are made.
    """
    before = ir.tape.Tape()
    for number, value in enumerate(node.inputs):
        if value is None or value.dtype not in _HALF:
            continue
        if value not in wide:
            wide[value] = _to_float32(value, before)
        node.replace_input_with(number, wide[value])
    after = ir.tape.Tape()
    for value in node.outputs:
        if value.dtype in _HALF:
            _round(graph, value, after)
    _keep_constants_half(node)
    graph.insert_before(node, before.nodes)
    graph.insert_after(node, after.nodes)


def _to_float32(value: ir.Value, tape: ir.tape.Tape) -> ir.Value:
    cast = tape.op("Cast", [value], {"to": ir.DataType.FLOAT})
    cast.type, cast.shape = ir.TensorType(ir.DataType.FLOAT), value.shape
    return cast


def _widen_weights_late(graph: ir.Graph) -> None:
    """Have ONNX Runtime widen each weight where it is used, and not all at once before anything else.

    It orders nodes from the results back, and of those that a node waits for it takes the last in the list first.
    """
    casts = [node for node in graph if node.op_type == "Cast" and _is_weight(node.inputs[0])]
    if casts:
        graph.remove(casts)
        graph.insert_before(graph[0], casts)


def _is_weight(value: ir.Value | None) -> bool:
    return value is not None and value.is_initializer() and not value.is_graph_input()


def _round(graph: ir.Graph, value: ir.Value, tape: ir.tape.Tape) -> None:
    """Everything that used `value` uses it rounded."""
    assert value.dtype is not None
    rounded = tape.op("Cast", [value], {"to": value.dtype})
    rounded.type, rounded.shape = value.type, value.shape
    cast = rounded.producer()
    for user, number in [(use.node, use.idx) for use in value.uses() if use.node is not cast]:
        user.replace_input_with(number, rounded)
    if value.is_graph_output():
        value.name, rounded.name = f"{value.name}_float32", value.name
        graph.outputs[graph.outputs.index(value)] = rounded
    value.type = ir.TensorType(ir.DataType.FLOAT)  # a new one: values share theirs


def _keep_constants_half(node: ir.Node) -> None:
    """`ConstantOfShape` says its type by its attribute."""
    if node.op_type == "ConstantOfShape" and "value" in node.attributes:
        value = node.attributes["value"].as_tensor()
        if value.dtype in _HALF:
            node.attributes["value"] = ir.AttrTensor("value", ir.tensor(value.numpy().astype(np.float32)))
