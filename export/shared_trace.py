"""One trace for several components of one configuration: the graph of the first is filled with the others' weights.

Tracing takes far longer than anything else in an export. What it gives depends on the configuration, and on which small
weights are equal, as those become one: so they are traced with values that are all different. A traced graph holds a
weight under its parameter's name or, where the exporter has folded a transposition, under another; the latter is found
by its values.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from export.graph import Graph, trace

_MATRIX = 2
_SMALL = 4096
"""values; torch's exporter unites equal initializers of up to 1,024"""


@dataclass(frozen=True)
class Weight:
    """Which parameter an initializer is."""

    parameter: str
    is_transposed: bool


class SharedTrace:
    """The graph of one component, ready to take the weights of another.

    Args:
        model: as it was saved. It is kept without its weights, so that two components are never in memory.
        weights: as `find_weights` found them.
    """

    def __init__(self, model: ir.Model, weights: Mapping[str, Weight]) -> None:
        self._model = model
        self._weights = weights
        for name in weights:
            model.graph.initializers[name].const_value = None

    def fill(self, module: nn.Module) -> ir.Model:
        """The graph with the weights of `module`, until it is filled again.

        Raises:
            ValueError: `module` has other parameters than the one that was traced.
        """
        parameters = _parameters(module)
        if {weight.parameter for weight in self._weights.values()} != parameters.keys():
            raise ValueError("the module is not of the configuration that was traced")
        for name, weight in self._weights.items():
            array = parameters[weight.parameter]
            array = np.ascontiguousarray(array.T) if weight.is_transposed else array
            self._model.graph.initializers[name].const_value = ir.tensor(array, name=name)
        return self._model


@contextmanager
def distinct_weights(module: nn.Module) -> Iterator[None]:
    """Inside the block no small parameter has the values of another."""
    with _random([parameter for parameter in module.parameters() if parameter.numel() <= _SMALL]):
        yield


def trace_apart(graph: Graph) -> ir.Model:
    """As `export.graph.trace`, with an initializer for every parameter but matrices that bears its name.

    They are traced with values that are all different, so that none is united with another, and each is found where
    the exporter has folded a change of its shape.
    """
    apart = {name for name, parameter in graph.module.named_parameters() if parameter.ndim != _MATRIX}
    with _random([parameter for name, parameter in graph.module.named_parameters() if name in apart]):
        model = trace(graph)
        values = _parameters(graph.module)
        traced = {_flat_content(values[name]): name for name in apart}
    weights = _parameters(graph.module)
    sizes = {weights[name].size for name in apart}
    for value in list(model.graph.initializers.values()):
        tensor = value.const_value
        if tensor is None or tensor.size not in sizes or (name := traced.get(_flat_content(tensor.numpy()))) is None:
            continue
        _rename(model.graph, value, name)
        value.const_value = ir.tensor(weights[name].reshape(tensor.shape.numpy()), name=name)
    return model


def _rename(graph: ir.Graph, initializer: ir.Value, name: str) -> None:
    if initializer.name == name:
        return
    assert initializer.name is not None and name not in graph.initializers, f"{name} has two shapes"  # noqa: PT018
    del graph.initializers[initializer.name]
    initializer.name = name
    graph.initializers.add(initializer)


@contextmanager
def _random(parameters: Sequence[nn.Parameter]) -> Iterator[None]:
    """Inside the block they have random values."""
    generator = torch.Generator().manual_seed(0)
    originals = {parameter: parameter.data for parameter in parameters}
    for parameter, values in originals.items():
        parameter.data = torch.randn(values.shape, generator=generator, dtype=values.dtype)
    try:
        yield
    finally:
        for parameter, values in originals.items():
            parameter.data = values


def find_weights(model: ir.Model, module: nn.Module) -> dict[str, Weight] | None:
    """Which initializers of a traced graph are parameters of the module; None where that cannot be told for certain.

    Args:
        model: as `export.graph.trace` returns it.
        module: that was traced, with the weights that it had then.
    """
    parameters = _parameters(module)
    arrays = {
        name: value.const_value.numpy()
        for name, value in model.graph.initializers.items()
        if value.const_value is not None
    }
    found = {
        name: Weight(name, is_transposed=False)
        for name, array in arrays.items()
        if name in parameters and np.array_equal(array, parameters[name])
    }
    hidden = parameters.keys() - {weight.parameter for weight in found.values()}
    by_content: dict[bytes, list[Weight]] = {}
    for name in hidden:
        for is_transposed in (False, True) if parameters[name].ndim == 2 else (False,):
            array = parameters[name].T if is_transposed else parameters[name]
            by_content.setdefault(_content(array), []).append(Weight(name, is_transposed))
    for name in arrays.keys() - found.keys():
        candidates = by_content.get(_content(arrays[name]), [])
        if len(candidates) > 1:
            return None
        if candidates:
            found[name] = candidates[0]
    is_complete = {weight.parameter for weight in found.values()} == parameters.keys()
    return found if is_complete else None


def keeps_names(weights: Mapping[str, Weight], module: nn.Module) -> bool:
    """Whether every parameter but matrices is an initializer of its own name, as `trace_apart` makes them."""
    return all(
        name == weight.parameter or module.get_parameter(weight.parameter).ndim == _MATRIX
        for name, weight in weights.items()
    )


def _parameters(module: nn.Module) -> dict[str, NDArray[Any]]:
    return {name: _array(parameter.detach()) for name, parameter in module.named_parameters()}


def _array(tensor: Tensor) -> NDArray[Any]:
    """The same memory. numpy has bfloat16 from another package, of which torch knows nothing."""
    if tensor.dtype is torch.bfloat16:
        return tensor.view(torch.int16).numpy().view(ir.DataType.BFLOAT16.numpy())
    array: NDArray[Any] = tensor.numpy()
    return array


def _flat_content(array: NDArray[Any]) -> bytes:
    """Equal for arrays that differ in their shape only."""
    return _content(array.reshape(-1))


def _content(array: NDArray[Any]) -> bytes:
    """Equal for equal arrays only."""
    digest = hashlib.sha256(f"{array.dtype} {array.shape}".encode())
    digest.update(np.ascontiguousarray(array).view(np.uint8).data)
    return digest.digest()
