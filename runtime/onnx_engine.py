"""Engines over ONNX Runtime. This one is for models of one graph; those of VAEs are in `runtime.vae_engine`.

What only some models need is imported when they do, so that the others are loaded in two thirds of the time.
"""

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import onnxruntime as ort

from runtime.engine import LORA_INPUT, Chunk, Engine, Inputs
from runtime.heap import Heap
from runtime.onnx_session import call, device_of, open_session
from runtime.tensors import to_ort_value

if TYPE_CHECKING:
    from pipelines.lora.folder import LoraFolder
    from runtime.adapter_cache import AdapterCache

_ONE_GRAPH = "model.onnx"

ADAPTER_CACHE_BYTES = 2**30


class OnnxEngine:
    """A model that is one graph, `model.onnx`.

    Args:
        loras: gives the folder with the adapters that transformers are asked to apply.
        adapter_cache_bytes: how many bytes of them stay loaded.
    """

    def __init__(
        self,
        folder: Path,
        threads: int = 0,
        loras: "Callable[[], LoraFolder | None]" = lambda: None,
        adapter_cache_bytes: int = ADAPTER_CACHE_BYTES,
    ) -> None:
        self._session = open_session(folder / _ONE_GRAPH, threads)
        self._outputs = [output.name for output in self._session.get_outputs()]
        self._loras = loras
        self._adapter_cache_bytes = adapter_cache_bytes
        self._heap = Heap()

    def run(self, inputs: Inputs, chunk: Chunk | None = None) -> dict[str, ort.OrtValue]:
        """All outputs for one set of inputs, of which `lora` names adapters to apply."""
        feeds = {name: to_ort_value(value) for name, value in inputs.items() if not isinstance(value, str)}
        applied = inputs.get(LORA_INPUT)
        if isinstance(applied, str):
            feeds |= self._adapters.feeds(applied)
        outputs = dict(zip(self._outputs, call(self._session, feeds, self._outputs), strict=True))
        self._heap.trim_if_grown()
        return outputs

    def forget_idle(self, seconds: float) -> None:
        """Nothing is kept between calls."""

    @cached_property
    def _adapters(self) -> "AdapterCache":
        from pipelines.lora.folder import LoraFolder
        from runtime.adapter_cache import AdapterCache, OptionalInput

        optional = {
            value.name: OptionalInput(value.type, tuple(value.shape))
            for value in self._session.get_overridable_initializers()
        }
        folder = self._loras() or LoraFolder(None)
        return AdapterCache(folder, optional, device_of(self._session), self._adapter_cache_bytes)


def open_engine(
    folder: Path,
    threads: int = 0,
    loras: "Callable[[], LoraFolder | None]" = lambda: None,
    adapter_cache_bytes: int = ADAPTER_CACHE_BYTES,
    device: str = "auto",
) -> Engine:
    """The engine for the graphs in a model's version folder. The adapters' arguments are for `OnnxEngine`.

    Raises:
        FileNotFoundError: it holds no graphs, or those of an earlier release.
    """
    if (folder / _ONE_GRAPH).exists():
        return OnnxEngine(folder, threads, loras, adapter_cache_bytes)
    from runtime.vae_engine import open_vae_engine

    return open_vae_engine(folder, threads)
