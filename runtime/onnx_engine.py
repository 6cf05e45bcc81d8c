"""ONNX Runtime engines: one-shot models, and VAEs, which may carry caches from chunk to chunk."""

import time
from pathlib import Path

import numpy as np
import onnxruntime as ort

from pipelines.lora.folder import LoraFolder
from pipelines.runner import Array, Tensors
from protocol.lora import LORA_INPUT
from runtime.adapter_cache import AdapterCache
from runtime.banded_vae import BandedVae, VideoState
from runtime.bands import BAND_BYTES, BandPlan
from runtime.heap import Heap
from runtime.onnx_session import device_of, has_gpu, open_session

_ONE_GRAPH = "model.onnx"

ADAPTER_CACHE_BYTES = 2**30


class OnnxEngine:
    """A model that is one graph, `model.onnx`.

    Args:
        loras: where the adapters are that transformers are asked to apply.
        adapter_cache_bytes: how many bytes of them stay loaded.
    """

    def __init__(
        self,
        folder: Path,
        threads: int = 0,
        loras: LoraFolder | None = None,
        adapter_cache_bytes: int = ADAPTER_CACHE_BYTES,
    ) -> None:
        self._session = open_session(folder / _ONE_GRAPH, threads)
        self._outputs = [output.name for output in self._session.get_outputs()]
        optional = [value.name for value in self._session.get_overridable_initializers()]
        self._adapters = AdapterCache(
            loras or LoraFolder(None), optional, device_of(self._session), adapter_cache_bytes
        )
        self._heap = Heap()

    def run(self, inputs: Tensors) -> dict[str, Array]:
        """All outputs for one set of inputs, of which `lora` names adapters to apply.

        Raises:
            PipelineError: an adapter cannot be applied any more.
        """
        outputs = self._run(dict(inputs))
        self._heap.trim_if_grown()
        return outputs

    def _run(self, arrays: dict[str, Array]) -> dict[str, Array]:
        applied = arrays.pop(LORA_INPUT, None)
        if applied is None:
            return dict(zip(self._outputs, self._session.run(self._outputs, arrays), strict=True))
        feeds = {name: ort.OrtValue.ortvalue_from_numpy(array) for name, array in arrays.items()}
        feeds |= self._adapters.feeds(applied.item().decode())
        values = self._session.run_with_ort_values(self._outputs, feeds)
        return {name: value.numpy() for name, value in zip(self._outputs, values, strict=True)}


class PictureEngine:
    """A VAE that decodes pictures.

    Args:
        band_bytes: how much memory a picture may take on the CPU that is not cut into bands.
    """

    def __init__(self, folder: Path, threads: int = 0, band_bytes: int = BAND_BYTES) -> None:
        self._vae = _open_vae(folder, threads, band_bytes)
        self._heap = Heap(returns_large_blocks=True)

    def run(self, inputs: Tensors) -> dict[str, Array]:
        """The pictures of one set of latents."""
        (x,) = inputs.values()
        try:
            result, _ = self._vae.run(x, None, last=True)
        finally:
            self._vae.release()
            self._heap.trim_if_grown()
        return {self._vae.result: result}


class StreamingEngine:
    """A VAE of videos, which keeps caches between calls, on the device that computed them.

    Args:
        band_bytes: how much memory a frame may take on the CPU that is not cut into bands.
    """

    def __init__(self, folder: Path, threads: int = 0, band_bytes: int = BAND_BYTES) -> None:
        self._vae = _open_vae(folder, threads, band_bytes)
        self._states: dict[object, VideoState] = {}
        self._last_used: dict[object, float] = {}
        self._heap = Heap(returns_large_blocks=True)

    def __len__(self) -> int:
        """How many sequences hold caches."""
        return len(self._states)

    def run(self, inputs: Tensors, sequence_id: object, start: bool, end: bool) -> dict[str, Array]:
        """Process the next chunk of a sequence; a chunk without frames (axis 2) only ends it.

        Raises:
            LookupError: the sequence was never started, or has been forgotten.
        """
        (x,) = inputs.values()
        if x.shape[2] == 0:
            self._forget(sequence_id)
            return {self._vae.result: np.empty((0,) * 5, np.float32)}
        if not start and sequence_id not in self._states:
            raise LookupError(f"sequence {sequence_id} was not started or has been idle for too long")
        # taken out: a call that fails leaves a video that cannot go on
        before = None if start else self._states.pop(sequence_id)
        try:
            result, after = self._vae.run(x, before, last=end)
        except Exception:
            self._forget(sequence_id)
            raise
        if after is None:
            self._forget(sequence_id)
        else:
            self._states[sequence_id] = after
            self._last_used[sequence_id] = time.monotonic()
            self._heap.trim_if_grown()
        return {self._vae.result: result}

    def forget_idle(self, seconds: float) -> None:
        """Drop the caches of sequences that were not called for so long: their job has died."""
        oldest = time.monotonic() - seconds
        for sequence_id in [key for key, used in self._last_used.items() if used < oldest]:
            self._forget(sequence_id)

    def _forget(self, sequence_id: object) -> None:
        self._states.pop(sequence_id, None)
        self._last_used.pop(sequence_id, None)
        if not any(state.is_cut for state in self._states.values()):
            self._vae.release()
        self._heap.trim()


def open_engine(
    folder: Path,
    threads: int = 0,
    loras: LoraFolder | None = None,
    adapter_cache_bytes: int = ADAPTER_CACHE_BYTES,
    band_bytes: int = BAND_BYTES,
) -> OnnxEngine | PictureEngine | StreamingEngine:
    """The engine for the graphs in a model's version folder.

    The adapters' arguments are for `OnnxEngine`, and the bands' for the others.

    Raises:
        FileNotFoundError: it holds no graphs, or those of an earlier release.
    """
    if (folder / _ONE_GRAPH).exists():
        return OnnxEngine(folder, threads, loras, adapter_cache_bytes)
    plan = BandPlan.read(folder)
    return (PictureEngine if plan.next is None else StreamingEngine)(folder, threads, band_bytes)


def _open_vae(folder: Path, threads: int, band_bytes: int) -> BandedVae:
    budget = None if has_gpu() else band_bytes
    return BandedVae(lambda name: open_session(folder / name, threads), BandPlan.read(folder), budget)
