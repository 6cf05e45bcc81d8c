"""Adapters as inputs of a transformer's graph, loaded once and kept while they are in use."""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from pipelines.lora.folder import LoraFolder
from pipelines.lora.matrices import Matrices
from pipelines.lora.targets import DIFFERENCE, DOWN, UP, Targets
from protocol.errors import ModelFailed
from protocol.lora import AppliedLoras
from runtime.dtypes import ITEM_BYTES

TensorT = TypeVar("TensorT")


@dataclass(frozen=True)
class OptionalInput:
    """An input that a graph has a default for."""

    dtype: str
    """see `runtime.dtypes`"""
    shape: tuple[int | str, ...]
    """what varies has a name"""


class AdapterCache(Generic[TensorT]):
    """The adapters of one graph, those used last, on the device that it runs on.

    Args:
        inputs: the graph's, by name.
        place: copies an array to the device, in a dtype of `runtime.dtypes`.
        max_bytes: what all of them together may take; one that takes more by itself is kept alone.
    """

    def __init__(
        self,
        folder: LoraFolder,
        inputs: Mapping[str, OptionalInput],
        place: Callable[[NDArray[np.float32], str], TensorT],
        max_bytes: int,
    ) -> None:
        self._folder = folder
        self._inputs = inputs
        self._targets = _targets(inputs)
        self._place = place
        self._max_bytes = max_bytes
        self._bytes = 0
        self._loaded: OrderedDict[str, tuple[dict[str, TensorT], int]] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        """The number of adapters that are kept."""
        return len(self._loaded)

    def feeds(self, applied: str) -> dict[str, TensorT]:
        """The inputs that apply these adapters.

        Args:
            applied: `AppliedLoras` as JSON.

        Raises:
            InvalidRequest: a file has gone since it was checked.
            ModelFailed: a file has been replaced since then.
        """
        with self._lock:
            if applied not in self._loaded:
                self._loaded[applied] = self._load(AppliedLoras.model_validate_json(applied))
                self._bytes += self._loaded[applied][1]
                while self._bytes > self._max_bytes and len(self._loaded) > 1:
                    self._bytes -= self._loaded.popitem(last=False)[1][1]
            self._loaded.move_to_end(applied)
            return self._loaded[applied][0]

    def _load(self, applied: AppliedLoras) -> tuple[dict[str, TensorT], int]:
        """The inputs and their bytes. Several updates of one layer are one of all their ranks, and several differences
        their sum."""
        loaded = Matrices(self._targets)
        for lora in applied.adapters:
            adapter = self._folder.by_path(lora.file)
            if adapter.version != lora.version:
                raise ModelFailed(f"adapter {lora.file!r} was replaced while a job used it")
            loaded.add(adapter, applied.component, lora.scale)
        arrays = loaded.inputs()
        dtypes = {name: self._inputs[name].dtype for name in arrays}
        feeds = {name: self._place(array, dtypes[name]) for name, array in arrays.items()}
        return feeds, sum(array.size * ITEM_BYTES[dtypes[name]] for name, array in arrays.items())


def _targets(inputs: Mapping[str, OptionalInput]) -> Targets:
    """What the graph takes updates for; what it lacks has no effect on its outputs."""
    layers = {}
    for name in (name.removesuffix(DOWN) for name in inputs if name.endswith(DOWN)):
        layers[name] = (_size(inputs[name + DOWN].shape[0]), _size(inputs[name + UP].shape[1]))
    parameters = {
        name.removesuffix(DIFFERENCE): tuple(map(_size, value.shape))
        for name, value in inputs.items()
        if name.endswith(DIFFERENCE)
    }
    return Targets(layers=layers, parameters=parameters)


def _size(size: int | str) -> int:
    assert isinstance(size, int), "only a rank varies"
    return size
