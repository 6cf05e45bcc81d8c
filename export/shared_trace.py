"""A traced graph apart from its weights: it can be filled with those of any component of the same configuration.

Tracing takes far longer than anything else in an export. What it gives depends on the configuration, and on which small
weights are equal, as those become one: so they are traced with values that are all different. The exporter copies no
weight, so an initializer is known by the address of the parameter that it is, or is the transposition or another shape
of.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from export.graph import USED_PARAMETERS, Graph, trace
from export.weights_file import WEIGHTS_FILE, Entry, Place

_MATRIX = 2
_SMALL = 4096
"""values; torch's exporter unites equal initializers of up to 1,024"""
_DTYPES = {
    ir.DataType.FLOAT: torch.float32,
    ir.DataType.BFLOAT16: torch.bfloat16,
    ir.DataType.FLOAT16: torch.float16,
}


class SharedTrace:
    """A graph, ready to take the weights of one component or another.

    Args:
        model: as it is saved. It is kept without its weights.
        weights: initializer -> the weight that it is, as `trace_apart` found them.
    """

    def __init__(self, model: ir.Model, weights: Mapping[str, Entry]) -> None:
        self._model = model
        self._weights = weights
        for name in weights:
            model.graph.initializers[name].const_value = None

    @property
    def entries(self) -> list[Entry]:
        """What to write for it, each once."""
        return list({entry.name: entry for entry in self._weights.values()}.values())

    def fill(self, tensors: Mapping[str, Tensor]) -> ir.Model:
        """The graph with these parameters in it, until it is filled again."""
        for name, entry in self._weights.items():
            tensor = tensors[entry.parameter].to(entry.dtype)
            array = _array((tensor.t() if entry.is_transposed else tensor).contiguous())
            self._put(name, ir.tensor(array.reshape(entry.shape), name=name))
        return self._model

    def refer(self, folder: Path, places: Mapping[str, Place]) -> ir.Model:
        """The graph with references to a file beside it, `WEIGHTS_FILE`, until it is filled again."""
        for name, entry in self._weights.items():
            place = places[entry.name]
            dtype = next(ours for ours, dtype in _DTYPES.items() if dtype is entry.dtype)
            shape = ir.Shape(entry.shape)
            self._put(
                name,
                ir.ExternalTensor(
                    WEIGHTS_FILE, place.offset, place.length, dtype, shape=shape, name=name, base_dir=folder
                ),
            )
        return self._model

    def _put(self, name: str, tensor: ir.TensorProtocol) -> None:
        self._model.graph.initializers[name].const_value = tensor


@dataclass(frozen=True)
class Trace:
    """A traced graph, and what of it are weights."""

    model: ir.Model
    weights: Mapping[str, Entry]
    """initializer -> the parameter that it is"""
    computed: frozenset[str]
    """parameters that the graph has only as constants that were computed from them"""


def trace_apart(graph: Graph, parameters: Mapping[str, nn.Parameter]) -> Trace:
    """As `export.graph.trace`, with an initializer for every parameter but matrices that bears its name.

    They are traced with values that are all different, so that none is united with another. The graph is left with
    those; see `SharedTrace.fill`.

    Args:
        parameters: that are weights, of those of the graph's module, as they are to be called in `Entry`.
    """
    names = {id(parameter): name for name, parameter in graph.module.named_parameters()}
    with _distinct(parameters.values()):
        model = trace(graph)
        weights = dict(_find(model, parameters))
    for name, entry in list(weights.items()):
        parameter = parameters[entry.parameter]
        if parameter.ndim != _MATRIX:
            own = names[id(parameter)]
            _rename(model.graph, name, own)
            weights[own] = weights.pop(name)
    used = {name for name, parameter in parameters.items() if names[id(parameter)] in model.meta[USED_PARAMETERS]}
    return Trace(model, weights, frozenset(used - {entry.parameter for entry in weights.values()}))


def _rename(graph: ir.Graph, before: str, name: str) -> None:
    if before == name:
        return
    assert name not in graph.initializers, f"{name} has two shapes"
    initializer = graph.initializers.pop(before)
    initializer.name = name
    graph.initializers.add(initializer)


@contextmanager
def _distinct(parameters: Iterable[nn.Parameter]) -> Iterator[None]:
    """Inside the block none of these that is small, or no matrix, has the values of another."""
    generator = torch.Generator().manual_seed(0)
    originals = {one: one.data for one in parameters if one.numel() <= _SMALL or one.ndim != _MATRIX}
    for parameter, values in originals.items():
        parameter.data = torch.randn(values.shape, generator=generator, dtype=values.dtype)
    try:
        yield
    finally:
        for parameter, values in originals.items():
            parameter.data = values


def _find(model: ir.Model, parameters: Mapping[str, nn.Parameter]) -> Iterator[tuple[str, Entry]]:
    """Which initializers are which of the parameters, in the memory that they were traced in."""
    at = {parameter.data_ptr(): name for name, parameter in parameters.items() if parameter.numel()}
    for name, value in model.graph.initializers.items():
        raw = _Memory.of(getattr(value.const_value, "raw", None))
        if raw is None or raw.address not in at or value.const_value is None:
            continue
        parameter = parameters[at[raw.address]]
        dtype = _DTYPES.get(value.const_value.dtype)
        if raw.size != parameter.numel() or dtype is not parameter.dtype or not (raw.is_straight or raw.is_transposed):
            continue
        shape = tuple(value.const_value.shape.numpy())
        yield name, Entry(at[raw.address], not raw.is_straight, dtype, shape)


@dataclass(frozen=True)
class _Memory:
    """Where an initializer's values are, and in which order."""

    address: int
    size: int
    is_straight: bool
    is_transposed: bool

    @staticmethod
    def of(raw: object) -> "_Memory | None":
        """Of a torch parameter, or of the NumPy view that the exporter made of one."""
        if isinstance(raw, Tensor):
            turned = raw.ndim == 2 and raw.t().is_contiguous()
            return _Memory(raw.data_ptr(), raw.numel(), raw.is_contiguous(), turned)
        if isinstance(raw, np.ndarray):
            turned = raw.ndim == 2 and raw.T.flags.c_contiguous
            return _Memory(raw.__array_interface__["data"][0], raw.size, raw.flags.c_contiguous, turned)
        return None


def _array(tensor: Tensor) -> NDArray[Any]:
    """The same memory. numpy has bfloat16 from another package, of which torch knows nothing."""
    if tensor.dtype is torch.bfloat16:
        return tensor.view(torch.int16).numpy().view(ir.DataType.BFLOAT16.numpy())
    array: NDArray[Any] = tensor.numpy()
    return array
