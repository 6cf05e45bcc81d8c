"""Engines of VAEs, which compute large frames in bands, and those of videos carry caches from chunk to chunk."""

import time
from pathlib import Path

import numpy as np
import onnxruntime as ort

from runtime.banded_vae import BandedVae, VideoState
from runtime.bands import BAND_BYTES, BandPlan
from runtime.engine import Chunk, Inputs, Tensor
from runtime.heap import Heap
from runtime.onnx_session import has_gpu, open_session
from runtime.tensors import to_ort_value


class ImageEngine:
    """A VAE that decodes images.

    Args:
        band_bytes: how much memory an image may take on the CPU that is not cut into bands.
    """

    def __init__(self, folder: Path, threads: int = 0, band_bytes: int = BAND_BYTES) -> None:
        self._vae = _open_vae(folder, threads, band_bytes)
        self._heap = Heap(returns_large_blocks=True)

    def run(self, inputs: Inputs, chunk: Chunk | None = None) -> dict[str, ort.OrtValue]:
        """The images of one set of latents."""
        try:
            result, _ = self._vae.run(_only(inputs), None, last=True)
        finally:
            self._vae.release()
            self._heap.trim_if_grown()
        return {self._vae.result: result}

    def forget_idle(self, seconds: float) -> None:
        """Nothing is kept between calls."""


class StreamingEngine:
    """A VAE of videos, which keeps caches between calls, on the device that computed them.

    Args:
        band_bytes: how much memory a frame may take on the CPU that is not cut into bands.
    """

    def __init__(self, folder: Path, threads: int = 0, band_bytes: int = BAND_BYTES) -> None:
        self._vae = _open_vae(folder, threads, band_bytes)
        self._states: dict[int | str, VideoState] = {}
        self._last_used: dict[int | str, float] = {}
        self._heap = Heap(returns_large_blocks=True)

    def __len__(self) -> int:
        """The number of sequences that hold caches."""
        return len(self._states)

    def run(self, inputs: Inputs, chunk: Chunk | None = None) -> dict[str, ort.OrtValue]:
        """Process the next chunk of a sequence; a chunk without frames (axis 2) only ends it.

        Raises:
            ValueError: there is no chunk.
            LookupError: the sequence was never started, or has been forgotten.
        """
        if chunk is None:
            raise ValueError("a streaming model needs to know which chunk this is")
        x = to_ort_value(_only(inputs))
        if x.shape()[2] == 0:
            self._forget(chunk.sequence_id)
            return {self._vae.result: to_ort_value(np.empty((0,) * 5, np.float32))}
        if not chunk.start and chunk.sequence_id not in self._states:
            raise LookupError(f"sequence {chunk.sequence_id} was not started or has been idle for too long")
        # taken out: a call that fails leaves a video that cannot go on
        before = None if chunk.start else self._states.pop(chunk.sequence_id)
        try:
            result, after = self._vae.run(x, before, last=chunk.end)
        except Exception:
            self._forget(chunk.sequence_id)
            raise
        if after is None:
            self._forget(chunk.sequence_id)
        else:
            self._states[chunk.sequence_id] = after
            self._last_used[chunk.sequence_id] = time.monotonic()
            self._heap.trim_if_grown()
        return {self._vae.result: result}

    def forget_idle(self, seconds: float) -> None:
        """Drop the caches of sequences that were not called for so long: their job has died."""
        oldest = time.monotonic() - seconds
        for sequence_id in [key for key, used in self._last_used.items() if used < oldest]:
            self._forget(sequence_id)

    def _forget(self, sequence_id: int | str) -> None:
        self._states.pop(sequence_id, None)
        self._last_used.pop(sequence_id, None)
        if not any(state.is_cut for state in self._states.values()):
            self._vae.release()
        self._heap.trim()


def open_vae_engine(folder: Path, threads: int = 0, band_bytes: int = BAND_BYTES) -> ImageEngine | StreamingEngine:
    """Raises FileNotFoundError when the version folder holds no graphs, or those of an earlier release."""
    plan = BandPlan.read(folder)
    return (ImageEngine if plan.next is None else StreamingEngine)(folder, threads, band_bytes)


def _open_vae(folder: Path, threads: int, band_bytes: int) -> BandedVae:
    budget = None if has_gpu() else band_bytes
    return BandedVae(lambda name: open_session(folder / name, threads), BandPlan.read(folder), budget)


def _only(inputs: Inputs) -> Tensor:
    """A VAE's input."""
    (value,) = inputs.values()
    if isinstance(value, str):
        raise TypeError("a VAE takes a tensor")
    return value
