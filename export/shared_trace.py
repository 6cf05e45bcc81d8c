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

import numpy as np
import onnx_ir as ir
import torch
from numpy.typing import NDArray
from torch import nn

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
    """As `export.graph.trace`, with an initializer of its own for every parameter but matrices."""
    apart = {name: parameter for name, parameter in graph.module.named_parameters() if parameter.ndim != _MATRIX}
    with _random([parameter for parameter in apart.values() if parameter.numel() <= _SMALL]):
        model = trace(graph)
    weights = _parameters(graph.module)
    for name in apart.keys() & model.graph.initializers.keys():
        model.graph.initializers[name].const_value = ir.tensor(weights[name], name=name)
    return model


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


def _parameters(module: nn.Module) -> dict[str, NDArray[np.float32]]:
    return {name: parameter.detach().numpy() for name, parameter in module.named_parameters()}


def _content(array: NDArray[np.float32]) -> bytes:
    """Equal for equal arrays only."""
    digest = hashlib.sha256(f"{array.dtype} {array.shape}".encode())
    digest.update(np.ascontiguousarray(array).data)
    return digest.digest()
