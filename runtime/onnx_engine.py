"""The engine of a model: this one runs a graph on ONNX Runtime; those of VAEs are in `runtime.vae_engine`.

What only some models need is imported when they do, so that the others are loaded in two thirds of the time.
"""

from collections.abc import Callable
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

import onnxruntime as ort

from protocol.placement import AUTO, CPU, Device, parse_device, parse_engine
from runtime.engine import LORA_INPUT, Chunk, Engine, Inputs
from runtime.heap import Heap
from runtime.onnx_session import call, device_of, open_session
from runtime.placement import choose
from runtime.tensors import from_float32, to_ort_value

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
        gpu_mem_limit: bytes that its arena may take on a GPU; None for all that there is.
    """

    def __init__(
        self,
        folder: Path,
        threads: int = 0,
        loras: "Callable[[], LoraFolder | None]" = lambda: None,
        adapter_cache_bytes: int = ADAPTER_CACHE_BYTES,
        device: Device = CPU,
        gpu_mem_limit: int | None = None,
    ) -> None:
        self._session = open_session(folder / _ONE_GRAPH, threads, device, gpu_mem_limit)
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
    def _adapters(self) -> "AdapterCache[ort.OrtValue]":
        from pipelines.lora.folder import LoraFolder
        from runtime.adapter_cache import AdapterCache, OptionalInput

        optional = {
            value.name: OptionalInput(value.type, tuple(value.shape))
            for value in self._session.get_overridable_initializers()
        }
        folder = self._loras() or LoraFolder(None)
        place = partial(from_float32, device=device_of(self._session))
        return AdapterCache(folder, optional, place, self._adapter_cache_bytes)


def open_engine(
    folder: Path,
    threads: int = 0,
    loras: "Callable[[], LoraFolder | None]" = lambda: None,
    adapter_cache_bytes: int = ADAPTER_CACHE_BYTES,
    *,
    engine: str = AUTO,
    device: str = AUTO,
    gpu_mem_limit: int | None = None,
    band_bytes: int | None = None,
    weights_budget: int | None = None,
    say: Callable[[str], object] = lambda remark: None,
) -> Engine:
    """The engine for the graphs in a model's version folder.

    Args:
        threads: of ONNX Runtime on the CPU; 0 takes one per core.
        loras: gives the folder with the adapters that transformers are asked to apply.
        adapter_cache_bytes: how many bytes of them stay loaded.
        engine: see `protocol.placement.EngineName`.
        device: see `protocol.placement.parse_device`.
        gpu_mem_limit: bytes that each graph's arena of ONNX Runtime may take on a GPU; None for all that there is.
        band_bytes: of VAEs on ONNX Runtime, see `runtime.vae_engine.open_vae_engine`.
        weights_budget: bytes of a GPU's memory that the weights of a TensorRT engine may take which can stream them;
            None for what TensorRT chooses.
        say: told where the model runs, where that is not what the files beside the graph are for.

    Raises:
        FileNotFoundError: it holds no graphs, or those of an earlier release.
        EngineUnusable: what was asked for cannot be had; the text says what to do.
        ValueError: there is no such engine or device, or the graphs are for GPUs and this is the CPU.
    """
    placement = choose(folder, parse_engine(engine), parse_device(device))
    if placement.remark is not None:
        say(f"{folder.parent.name} runs on ONNX Runtime, {placement.device}, {placement.remark}")
    if placement.tensorrt is not None:
        from runtime.tensorrt_engine import open_tensorrt_engine

        return open_tensorrt_engine(
            folder, placement.tensorrt, placement.device, loras, adapter_cache_bytes, weights_budget=weights_budget
        )
    if (folder / _ONE_GRAPH).exists():
        return OnnxEngine(folder, threads, loras, adapter_cache_bytes, placement.device, gpu_mem_limit)
    from runtime.vae_engine import open_vae_engine

    return open_vae_engine(folder, threads, band_bytes, placement.device, gpu_mem_limit)
