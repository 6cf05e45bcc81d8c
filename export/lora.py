"""Makes a transformer's graph take adapters (LoRA) at run time.

Where a linear layer computes `x @ W`, the graph computes `x @ W + (x @ A) @ B`. A and B are graph inputs
`<module>.lora_A` [in, rank] and `<module>.lora_B` [rank, out] whose defaults have rank 0: a call that feeds
none gets exactly what the layer gave before, and one graph serves every adapter of every rank.

Every other parameter, which is small, has an input `<parameter>.diff` of its own shape that is added to it. Its default
is zeros, which change no bit of what the graph gives.
"""

import ast

import numpy as np
import onnx_ir as ir
from torch import nn

from pipelines.lora.targets import DIFFERENCE, DOWN, UP, Targets

_SCOPES = "pkg.torch.onnx.name_scopes"
_CLASSES = "pkg.torch.onnx.class_hierarchy"
_LINEAR = f"{nn.Linear.__module__}.{nn.Linear.__qualname__}"
_MATRIX = 2


def adapter_targets(module: nn.Module) -> Targets:
    """All that an adapter may hold for a transformer, used by its graph or not."""
    return Targets(
        layers={
            name: (layer.in_features, layer.out_features)
            for name, layer in module.named_modules()
            if isinstance(layer, nn.Linear)
        },
        # The other matrices are embeddings, of which a row is taken: no sum of whole tables is worth its time.
        parameters={
            name: tuple(parameter.shape) for name, parameter in module.named_parameters() if parameter.ndim != _MATRIX
        },
    )


def add_adapter_inputs(model: ir.Model, module: nn.Module) -> set[str]:
    """Give everything in a traced transformer that an adapter may change its input, in place.

    Args:
        model: as `export.shared_trace.trace_apart` makes it.
        module: that was traced: a wrapper whose attribute is the transformer.

    Returns:
        the names, within the transformer, of the linear layers and parameters that have one
    """
    added = set()
    for node in list(model.graph):
        layer = _linear_layer_of(node)
        if layer is not None:
            _add_update(model.graph, node, layer)
            added.add(layer)
    for name, parameter in module.named_parameters():
        initializer = model.graph.initializers.get(name)
        if parameter.ndim != _MATRIX and initializer is not None and initializer.uses():
            _add_difference(model.graph, initializer)
            added.add(_within(name))
    return added


def _within(name: str) -> str:
    """A name in the wrapper, as the transformer has it."""
    _wrapper_attribute, _, within = name.partition(".")
    return within


def _linear_layer_of(node: ir.Node) -> str | None:
    """The linear layer whose product with its weight the node is, if it is one."""
    if node.op_type not in ("MatMul", "Gemm") or _CLASSES not in node.metadata_props:
        return None
    # Both lists end with the operator itself; before it stands the module that it belongs to.
    classes = ast.literal_eval(node.metadata_props[_CLASSES])
    if len(classes) < 2 or classes[-2] != _LINEAR:
        return None
    return _within(ast.literal_eval(node.metadata_props[_SCOPES])[-2])


def _add_update(graph: ir.Graph, node: ir.Node, layer: str) -> None:
    x, weight = node.inputs[:2]
    product = node.outputs[0]
    assert x is not None and weight is not None and weight.const_value is not None  # noqa: PT018
    is_transposed = "transB" in node.attributes and node.attributes["transB"].as_int() == 1
    sizes = weight.const_value.shape.numpy()
    fan_in, fan_out = reversed(sizes) if is_transposed else sizes
    rank = f"{layer}.rank"
    down = _optional_input(graph, layer + DOWN, (fan_in, rank), weight.const_value.dtype)
    up = _optional_input(graph, layer + UP, (rank, fan_out), weight.const_value.dtype)

    # The sum comes before the bias is added, so that ONNX Runtime still fuses the bias with the activation.
    tape = ir.tape.Tape()
    update = tape.op("MatMul", [tape.op("MatMul", [x, down]), up])
    total = tape.op("Add", [product, update])
    total.shape, total.type = product.shape, product.type
    for new in tape.nodes:
        new.metadata_props.update(node.metadata_props)
    product.replace_all_uses_with(total)
    tape.nodes[-1].replace_input_with(0, product)
    graph.insert_after(node, tape.nodes)


def _add_difference(graph: ir.Graph, parameter: ir.Value) -> None:
    """Use the parameter plus an input wherever the parameter is used, in the shape in which that is."""
    name = parameter.name
    assert name is not None and parameter.const_value is not None  # noqa: PT018
    shape = tuple(int(size) for size in parameter.const_value.shape.numpy())
    difference = _optional_input(graph, _within(name) + DIFFERENCE, shape, parameter.const_value.dtype)
    total = ir.val(f"{name}{DIFFERENCE}.sum", dtype=parameter.const_value.dtype, shape=shape)
    parameter.replace_all_uses_with(total)
    graph.insert_before(graph[0], ir.Node("", "Add", [parameter, difference], outputs=[total]))


def _optional_input(graph: ir.Graph, name: str, shape: tuple[int | str, ...], dtype: ir.DataType) -> ir.Value:
    """The graph input of that name, made when the layer has not been met before; symbolic sizes are 0 by default."""
    if name not in graph.initializers:
        default = np.zeros([0 if isinstance(size, str) else size for size in shape], dtype.numpy())
        value = ir.val(name, dtype=dtype, shape=shape)
        value.const_value = ir.tensor(default, name=name)
        graph.inputs.append(value)
        graph.register_initializer(value)
    return graph.initializers[name]
