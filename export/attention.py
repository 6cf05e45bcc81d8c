"""Attention in the forms that ONNX Runtime takes.

On the CPU ONNX Runtime computes the standard Attention with all tokens x tokens scores in memory. Its
MultiHeadAttention goes block by block (flash attention), so memory grows with the tokens only; it takes
[batch, tokens, heads * size] where Attention takes [batch, heads, tokens, size].

Where Attention has a mask, ONNX Runtime wants it for each query, on GPUs as well; TensorRT need not hold that many.
"""

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

DOMAIN = "com.microsoft"
EXPANDED_MASK = "expanded_mask"
"""begins the names of nodes that repeat a mask for each query"""
_MASK = 3
"""number of Attention's input"""
_SWAP_HEADS_AND_TOKENS = (0, 2, 1, 3)


def fuse_attention(model: ir.Model) -> int:
    """Replace, in place, every Attention that has no mask by MultiHeadAttention.

    Returns:
        how many were replaced
    """
    replaced = 0
    for node in list(model.graph):
        if _is_replaceable(node):
            _replace(model.graph, node)
            replaced += 1
    if replaced:
        model.graph.opset_imports[DOMAIN] = 1
        RemoveUnusedNodesPass()(model)  # the transposes on either side
    return replaced


def expand_masks(graph: ir.Graph) -> None:
    """Masks [batch, 1, 1, keys] of Attention become [batch, 1, queries, keys], in place."""
    for node in list(graph):
        mask = node.inputs[_MASK] if node.op_type == "Attention" and len(node.inputs) > _MASK else None
        if mask is None or _is_for_each_query(mask):
            continue
        tape = ir.tape.Tape()
        ones = tape.op("Constant", [], {"value": ir.tensor(np.array([1, 1], np.int64))})
        one = tape.op("Constant", [], {"value": ir.tensor(np.array([1], np.int64))})
        queries = tape.op("Shape", [node.inputs[0]], {"start": 2, "end": 3})
        expanded = tape.op("Expand", [mask, tape.op("Concat", [ones, queries, one], {"axis": 0})])
        expanded.type = mask.type
        tape.nodes[-1].name = f"{EXPANDED_MASK}_{node.name}"
        graph.insert_before(node, tape.nodes)
        node.replace_input_with(_MASK, expanded)


def _is_for_each_query(mask: ir.Value) -> bool:
    producer = mask.producer()
    is_expanded = producer is not None and (producer.name or "").startswith(EXPANDED_MASK)
    return is_expanded or (mask.shape is not None and mask.shape[-2] != 1)


def _is_replaceable(node: ir.Node) -> bool:
    """Four-dimensional, unmasked, one output, as many key heads as query heads, and that number known."""
    if node.op_type != "Attention" or node.domain not in ("", "ai.onnx"):
        return False
    query, key, value, *rest = node.inputs
    special = any(name in node.attributes and node.attributes[name].value for name in ("is_causal", "softcap"))
    heads = {_heads(operand) for operand in (query, key, value)}
    used = [output for output in node.outputs if output.uses() or output.is_graph_output()]
    return not any(rest) and not special and len(heads) == 1 and None not in heads and used == [node.outputs[0]]


def _heads(operand: ir.Value | None) -> int | None:
    """Size 1 of [batch, heads, tokens, size], if it is a number."""
    if operand is None or operand.shape is None or len(operand.shape) != 4:
        return None
    heads = operand.shape[1]
    return heads if isinstance(heads, int) else None


def _replace(graph: ir.Graph, node: ir.Node) -> None:
    """Put MultiHeadAttention in the node's place, with what converts to and from its layout."""
    query, key, value = node.inputs[:3]
    output = node.outputs[0]
    heads = _heads(query)
    assert query is not None and key is not None and value is not None and heads is not None  # noqa: PT018
    merge = _constant(graph, "attention_merge_heads", [0, 0, -1])
    split = _constant(graph, f"attention_split_{heads}_heads", [0, 0, heads, -1])

    tape = ir.tape.Tape()
    merged = [tape.op("Reshape", [_tokens_first(tape, operand), merge]) for operand in (query, key, value)]
    attributes: dict[str, int | float] = {"num_heads": heads}
    if "scale" in node.attributes:
        attributes["scale"] = node.attributes["scale"].as_float()
    attended = tape.op("MultiHeadAttention", merged, attributes, domain=DOMAIN)
    tokens_first = tape.op("Reshape", [attended, split])
    heads_first = tape.op("Transpose", [tokens_first], {"perm": _SWAP_HEADS_AND_TOKENS})
    for new in tape.nodes:
        new.metadata_props.update(node.metadata_props)

    for user in output.consumers():
        if _swaps_heads_and_tokens(user) and not user.outputs[0].is_graph_output():
            user.outputs[0].replace_all_uses_with(tokens_first)
    ir.convenience.replace_nodes_and_values(graph, node, [node], tape.nodes, [output], [heads_first])


def _tokens_first(tape: ir.tape.Tape, operand: ir.Value) -> ir.Value:
    """[batch, heads, tokens, size] -> [batch, tokens, heads, size]: what was there before the opposite, if that was."""
    producer = operand.producer()
    if producer is not None and _swaps_heads_and_tokens(producer):
        before = producer.inputs[0]
        assert before is not None
        return before
    return tape.op("Transpose", [operand], {"perm": _SWAP_HEADS_AND_TOKENS})


def _swaps_heads_and_tokens(node: ir.Node) -> bool:
    return node.op_type == "Transpose" and tuple(node.attributes["perm"].as_ints()) == _SWAP_HEADS_AND_TOKENS


def _constant(graph: ir.Graph, name: str, numbers: list[int]) -> ir.Value:
    """The initializer of that name, made when it is not there."""
    if name not in graph.initializers:
        tensor = ir.tensor(np.array(numbers, dtype=np.int64), name=name)
        graph.register_initializer(ir.val(name, const_value=tensor))
    return graph.initializers[name]
