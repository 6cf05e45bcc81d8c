"""Makes a transformer's graph take low-rank adapters (LoRA) at run time.

Where a linear layer computes `x @ W`, the graph computes `x @ W + (x @ A) @ B`. A and B are graph inputs
`<module>.lora_A` [in, rank] and `<module>.lora_B` [rank, out] whose defaults have rank 0: a call that feeds
none gets exactly what the layer gave before, and one graph serves every adapter of every rank.
"""

import ast

import numpy as np
import onnx_ir as ir
from torch import nn

from pipelines.lora.targets import DOWN, UP, Sizes

_SCOPES = "pkg.torch.onnx.name_scopes"
_CLASSES = "pkg.torch.onnx.class_hierarchy"
_LINEAR = f"{nn.Linear.__module__}.{nn.Linear.__qualname__}"


def linear_layers(module: nn.Module) -> Sizes:
    """(in, out) of every linear layer, by name: all that an adapter may hold, used by the graph or not."""
    return {
        name: (layer.in_features, layer.out_features)
        for name, layer in module.named_modules()
        if isinstance(layer, nn.Linear)
    }


def add_adapter_inputs(model: ir.Model) -> set[str]:
    """Give every linear layer of a traced transformer its adapter, in place.

    Args:
        model: as `export.graph.trace` returns it. The traced module is a wrapper whose attribute is the transformer.

    Returns:
        the layers' names within the transformer
    """
    modules = set()
    for node in list(model.graph):
        module = _linear_layer_of(node)
        if module is not None:
            _add(model.graph, node, module)
            modules.add(module)
    return modules


def _linear_layer_of(node: ir.Node) -> str | None:
    """The linear layer whose product with its weight the node is, if it is one."""
    if node.op_type not in ("MatMul", "Gemm") or _CLASSES not in node.metadata_props:
        return None
    # Both lists end with the operator itself; before it stands the module that it belongs to.
    classes = ast.literal_eval(node.metadata_props[_CLASSES])
    if len(classes) < 2 or classes[-2] != _LINEAR:
        return None
    name: str = ast.literal_eval(node.metadata_props[_SCOPES])[-2]
    _wrapper_attribute, _, within = name.partition(".")
    return within


def _add(graph: ir.Graph, node: ir.Node, module: str) -> None:
    x, weight = node.inputs[:2]
    product = node.outputs[0]
    assert x is not None and weight is not None and weight.const_value is not None  # noqa: PT018
    is_transposed = "transB" in node.attributes and node.attributes["transB"].as_int() == 1
    sizes = weight.const_value.shape.numpy()
    fan_in, fan_out = reversed(sizes) if is_transposed else sizes
    rank = f"{module}.rank"
    down = _adapter_input(graph, module + DOWN, (fan_in, rank), weight.const_value.dtype)
    up = _adapter_input(graph, module + UP, (rank, fan_out), weight.const_value.dtype)

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


def _adapter_input(graph: ir.Graph, name: str, shape: tuple[int | str, int | str], dtype: ir.DataType) -> ir.Value:
    """The graph input of that name, made when the layer has not been met before."""
    if name not in graph.initializers:
        default = np.zeros([0 if isinstance(size, str) else size for size in shape], dtype.numpy())
        value = ir.val(name, dtype=dtype, shape=shape)
        value.const_value = ir.tensor(default, name=name)
        graph.inputs.append(value)
        graph.register_initializer(value)
    return graph.initializers[name]
