"""From adapter files to the arrays that a graph takes."""

from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from pipelines.lora.file import AdapterFile, Difference, Layer
from pipelines.lora.fit import Places
from pipelines.lora.targets import DIFFERENCE, DOWN, UP, Targets

Array = NDArray[np.float32]


class Matrices:
    """The updates of several adapters, for one graph."""

    def __init__(self, targets: Targets) -> None:
        self._targets = targets
        self._low_rank: dict[str, list[tuple[Array, Array]]] = {}
        self._differences: dict[str, Array] = {}

    def add(self, adapter: AdapterFile, component: str, scale: float) -> None:
        """Read what an adapter has for the graph.

        Raises:
            OSError: the file has gone.
        """
        found = Places(self._targets).fit(adapter.updates(component))
        with adapter.path.open("rb") as file:
            for name, layer in found.layers.items():
                self._low_rank.setdefault(name, []).append(layer.read(file, scale))
            for name, difference in found.weights.items():
                matrix = difference.read(file, scale).reshape(self._targets.layers[name][::-1])
                self._low_rank.setdefault(name, []).append(_in_full_rank(matrix))
            for name, updates in found.parameters.items():
                for update in updates:
                    self._add_difference(name, update, file, scale)

    def inputs(self) -> dict[str, Array]:
        """By the names of the graph's inputs; A float32 [in, rank], B float32 [rank, out], differences as they are."""
        arrays = {name + DIFFERENCE: array for name, array in self._differences.items()}
        for name, pairs in self._low_rank.items():
            arrays[name + DOWN] = np.concatenate([down for down, _ in pairs], axis=1)
            arrays[name + UP] = np.concatenate([up for _, up in pairs], axis=0)
        return arrays

    def _add_difference(self, name: str, update: Difference | Layer, file: BinaryIO, scale: float) -> None:
        if isinstance(update, Layer):
            down, up = update.read(file, scale)
            array = (down @ up).T
        else:
            array = update.read(file, scale)
        array = array.reshape(self._targets.parameters[name])
        self._differences[name] = self._differences[name] + array if name in self._differences else array


def _in_full_rank(weight: Array) -> tuple[Array, Array]:
    """A and B whose product is the weight [out, in]: one of them is an identity, so nothing is rounded."""
    fan_out, fan_in = weight.shape
    if fan_in <= fan_out:
        return np.eye(fan_in, dtype=np.float32), np.ascontiguousarray(weight.T)
    return np.ascontiguousarray(weight.T), np.eye(fan_out, dtype=np.float32)
