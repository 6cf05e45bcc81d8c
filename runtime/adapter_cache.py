"""Adapters as inputs of a transformer's graph, loaded once and kept while they are in use."""

from collections import OrderedDict
from collections.abc import Mapping
from threading import Lock

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from pipelines.lora.folder import LoraFolder
from pipelines.lora.names import name_table
from pipelines.lora.targets import DOWN, UP
from protocol.errors import ModelFailed
from protocol.lora import AppliedLoras
from runtime.tensors import from_float32


class AdapterCache:
    """The adapters of one graph, those used last, on the device that it runs on.

    Args:
        inputs: the dtypes of the graph's inputs, as ONNX Runtime names them, by the inputs' names.
        device: `cpu` or `cuda`.
        max_bytes: what all of them together may take; one that takes more by itself is kept alone.
    """

    def __init__(self, folder: LoraFolder, inputs: Mapping[str, str], device: str, max_bytes: int) -> None:
        self._folder = folder
        self._dtypes = inputs
        self._names = name_table(name.removesuffix(DOWN) for name in inputs if name.endswith(DOWN))
        self._device = device
        self._max_bytes = max_bytes
        self._bytes = 0
        self._loaded: OrderedDict[str, dict[str, ort.OrtValue]] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        """The number of adapters that are kept."""
        return len(self._loaded)

    def feeds(self, applied: str) -> dict[str, ort.OrtValue]:
        """The inputs that apply these adapters.

        Args:
            applied: `AppliedLoras` as JSON.

        Raises:
            InvalidRequest: a file has gone since it was checked.
            ModelFailed: a file has been replaced since then.
        """
        with self._lock:
            if applied not in self._loaded:
                feeds = self._load(AppliedLoras.model_validate_json(applied))
                self._loaded[applied] = feeds
                self._bytes += _bytes(feeds)
                while self._bytes > self._max_bytes and len(self._loaded) > 1:
                    self._bytes -= _bytes(self._loaded.popitem(last=False)[1])
            self._loaded.move_to_end(applied)
            return self._loaded[applied]

    def _load(self, applied: AppliedLoras) -> dict[str, ort.OrtValue]:
        """Several updates of one layer are one of all their ranks."""
        downs: dict[str, list[NDArray[np.float32]]] = {}
        ups: dict[str, list[NDArray[np.float32]]] = {}
        for lora in applied.adapters:
            adapter = self._folder.by_path(lora.file)
            if adapter.version != lora.version:
                raise ModelFailed(f"adapter {lora.file!r} was replaced while a job used it")
            # A layer that the graph lacks is one whose output nothing uses: `generate` has checked the rest.
            layers = {name: layer for name, layer in adapter.layers(applied.component).items() if name in self._names}
            for name, (down, up) in adapter.read(layers, lora.scale).items():
                downs.setdefault(self._names[name], []).append(down)
                ups.setdefault(self._names[name], []).append(up)
        matrices = {layer + DOWN: np.concatenate(parts, axis=1) for layer, parts in downs.items()}
        matrices |= {layer + UP: np.concatenate(parts, axis=0) for layer, parts in ups.items()}
        return {name: from_float32(array, self._dtypes[name], self._device) for name, array in matrices.items()}


def _bytes(feeds: dict[str, ort.OrtValue]) -> int:
    return sum(value.tensor_size_in_bytes() for value in feeds.values())
