"""Engines of models over TensorRT or TensorRT for RTX. **They have not been run yet**: see README.md."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from pipelines.lora.targets import DOWN, UP
from protocol.placement import Device
from runtime.dtypes import BFLOAT16, FLOAT16, FLOAT32
from runtime.engine import LORA_INPUT, Chunk, Engine, EngineUnusable, Inputs, Tensor
from runtime.gpu_memory import GpuMemory, as_torch, gpu_memory
from runtime.placement import TensorRTFiles
from runtime.tensorrt_graph import TensorRTGraph
from runtime.tensors import to_torch
from runtime.vae_engine import ImageEngine, StreamingEngine

if TYPE_CHECKING:
    from pipelines.lora.folder import LoraFolder
    from runtime.adapter_cache import AdapterCache

_ONE_GRAPH = "model.onnx"
_FIRST, _NEXT = "whole_first.onnx", "whole_next.onnx"
_CACHE_IN, _CACHE_OUT = "cache_in_", "cache_out_"
"""what begins the names of what goes from chunk to chunk; a number follows"""
_DTYPES = {torch.float32: FLOAT32, torch.float16: FLOAT16, torch.bfloat16: BFLOAT16}


class TensorRTEngine:
    """A model that is one graph.

    Args:
        graph: of it.
        memory: of the GPU that it runs on.
        loras: gives the folder with the adapters that transformers are asked to apply.
        adapter_cache_bytes: how many bytes of them stay loaded.
    """

    def __init__(
        self,
        graph: TensorRTGraph,
        memory: GpuMemory,
        loras: "Callable[[], LoraFolder | None]",
        adapter_cache_bytes: int,
    ) -> None:
        self._graph = graph
        self._memory = memory
        self._loras = loras
        self._adapter_cache_bytes = adapter_cache_bytes

    def run(self, inputs: Inputs, chunk: Chunk | None = None) -> dict[str, torch.Tensor]:
        """All outputs for one set of inputs, of which `lora` names adapters to apply."""
        with self._memory.turn():
            feeds = {name: self._memory.take(value) for name, value in inputs.items() if not isinstance(value, str)}
            applied = inputs.get(LORA_INPUT)
            if isinstance(applied, str) and (adapters := self._adapters.feeds(applied)):
                feeds |= self._without_effect | adapters
            return self._graph.run(feeds)

    def forget_idle(self, seconds: float) -> None:
        """Nothing is kept between calls."""

    @cached_property
    def _adapters(self) -> "AdapterCache[torch.Tensor]":
        from pipelines.lora.folder import LoraFolder
        from runtime.adapter_cache import AdapterCache, OptionalInput

        optional = {
            name: OptionalInput(_DTYPES[dtype], _named(self._graph.shape(name)))
            for name, dtype in self._graph.inputs.items()
            if name.endswith((DOWN, UP))
        }
        folder = self._loras() or LoraFolder(None)
        return AdapterCache(folder, optional, self._place, self._adapter_cache_bytes)

    @cached_property
    def _without_effect(self) -> dict[str, torch.Tensor]:
        """Adapters of rank 1 that are zero, for layers that those applied leave alone: profiles with adapters are for
        ranks of 1 and more, in every layer."""
        return {
            name: torch.zeros(
                [max(size, 1) for size in self._graph.shape(name)], dtype=dtype, device=self._memory.device
            )
            for name, dtype in self._graph.inputs.items()
            if name.endswith((DOWN, UP))
        }

    def _place(self, array: NDArray[np.float32], dtype: str) -> torch.Tensor:
        placed: torch.Tensor = to_torch(array, dtype, str(self._memory.device))
        return placed


@dataclass(frozen=True)
class VideoCaches:
    """What the next chunk of a video needs, on the GPU."""

    by_input: Mapping[str, torch.Tensor]


class TensorRTVae:
    """A VAE's decoder or encoder, of whole frames: a `runtime.vae_engine.Vae`.

    The outputs of a chunk that the next one needs are its inputs where they are, without a copy.

    Args:
        first: for the first chunk of a video.
        later: for the others; None for a VAE of images.
    """

    def __init__(self, first: TensorRTGraph, later: TensorRTGraph | None, memory: GpuMemory) -> None:
        self._first = first
        self._later = later
        self._memory = memory
        (self.result,) = [name for name in first.outputs if not name.startswith(_CACHE_OUT)]
        (self._source,) = [name for name in first.inputs if not name.startswith(_CACHE_IN)]

    def run(self, source: Tensor, before: VideoCaches | None, last: bool) -> tuple[torch.Tensor, VideoCaches | None]:
        """Compute a chunk: see `Vae`."""
        graph = self._first if before is None else self._later
        if graph is None:
            raise ValueError("a VAE of images takes one chunk")
        with self._memory.turn():
            caches = {} if before is None else before.by_input
            feeds = {self._source: self._memory.take(source), **caches}
            outputs = graph.run(feeds)
        result = outputs.pop(self.result)
        kept = {name.replace(_CACHE_OUT, _CACHE_IN): cache for name, cache in outputs.items()}
        return result, None if last else VideoCaches(kept)

    def frames(self, source: Tensor) -> int:
        """Of a chunk."""
        with self._memory.turn():
            return as_torch(source).shape[2]

    def nothing(self) -> torch.Tensor:
        """The result for a chunk without frames."""
        return torch.empty((0,) * 5)

    def release(self, left: Collection[VideoCaches]) -> None:
        """Nothing is kept that only some videos need."""


def open_tensorrt_engine(
    folder: Path,
    files: TensorRTFiles,
    device: Device,
    loras: "Callable[[], LoraFolder | None]",
    adapter_cache_bytes: int,
    memory: GpuMemory | None = None,
    weights_budget: int | None = None,
) -> Engine:
    """The engine for the plans in a version folder.

    Args:
        weights_budget: see `TensorRTGraph`.
        memory: of the device; None for the one of this process.

    Raises:
        EngineUnusable: a plan is missing, or cannot be loaded.
    """
    shared = memory or gpu_memory(device)
    plans = {plan.graph: plan for plan in files.plans.engines}

    def load(graph: str) -> TensorRTGraph:
        if graph not in plans:
            raise EngineUnusable(f"{folder} has no engine of {graph}: build it with `python -m export.engines`")
        plan = plans[graph]
        streams = files.plans.streams_weights
        return TensorRTGraph(plan, folder / plan.engine, files.library, shared, streams, weights_budget)

    if _ONE_GRAPH in plans:
        return TensorRTEngine(load(_ONE_GRAPH), shared, loras, adapter_cache_bytes)
    if (folder / _NEXT).exists() or _NEXT in plans:
        return StreamingEngine(TensorRTVae(load(_FIRST), load(_NEXT), shared))
    return ImageEngine(TensorRTVae(load(_FIRST), None, shared))


def _named(shape: tuple[int, ...]) -> tuple[int | str, ...]:
    """What varies has a name."""
    return tuple("rank" if size < 0 else size for size in shape)
