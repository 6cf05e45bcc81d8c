"""Attention masks as ONNX Runtime takes them.

Graphs for GPUs have masks [batch, 1, 1, keys], which TensorRT's fused kernels take as they are. ONNX Runtime wants them
as [batch, 1, queries, keys]. The graph's file stays as it is; a session is made of a changed one, without the weights.
"""

from pathlib import Path

from runtime.engine import EngineUnusable

_MASK = 3
"""number of the input of `Attention`"""
_QUERY = 0


def with_expanded_masks(path: Path) -> bytes | None:
    """The graph with masks for every query, its weights left beside it; None where it needs no change.

    Raises:
        EngineUnusable: the package `onnx` is not installed.
    """
    try:
        import onnx
        from onnx import TensorProto, helper
    except ImportError as error:
        raise EngineUnusable(f"ONNX Runtime on a GPU needs the package onnx ({error}): pip install onnx") from None

    model = onnx.load(str(path), load_external_data=False)
    nodes: list[onnx.NodeProto] = []
    for number, node in enumerate(model.graph.node):
        if node.op_type == "Attention" and len(node.input) > _MASK and node.input[_MASK]:
            queries, shape, mask = (f"expanded_mask.{number}.{part}" for part in ("queries", "shape", "mask"))
            nodes += [
                helper.make_node("Shape", [node.input[_QUERY]], [queries], start=-2, end=-1),
                helper.make_node("Concat", ["expanded_mask.ones", queries, "expanded_mask.one"], [shape], axis=0),
                helper.make_node("Expand", [node.input[_MASK], shape], [mask]),
            ]
            node.input[_MASK] = mask
        nodes.append(node)
    if len(nodes) == len(model.graph.node):
        return None
    changed = onnx.GraphProto()
    changed.CopyFrom(model.graph)
    del changed.node[:]
    changed.node.extend(nodes)
    model.graph.CopyFrom(changed)
    model.graph.initializer.extend(
        helper.make_tensor(f"expanded_mask.{name}", TensorProto.INT64, [count], [1] * count)
        for name, count in (("ones", 2), ("one", 1))
    )
    content: bytes = model.SerializeToString()
    return content
