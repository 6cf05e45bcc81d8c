"""Engines of VAEs: those of videos carry caches from chunk to chunk, on the device that computed them."""

import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from protocol.placement import CPU, Device
from runtime.bands import BAND_BYTES, BandPlan
from runtime.engine import Chunk, Inputs, Tensor
from runtime.heap import Heap

StateT = TypeVar("StateT")


class Vae(Protocol[StateT]):
    """A VAE's decoder or encoder, which computes one chunk after the other: see `runtime.banded_vae.BandedVae`."""

    @property
    def result(self) -> str:
        """Name of the output."""

    def run(self, source: Tensor, before: StateT | None, last: bool) -> tuple[Tensor, StateT | None]:
        """The result for a chunk, and what the next one needs unless this is the last."""

    def frames(self, source: Tensor) -> int:
        """Of a chunk, [batch, channels, frames, height, width]."""

    def nothing(self) -> Tensor:
        """The result for a chunk without frames."""

    def release(self, left: Collection[StateT]) -> None:
        """Give back what none of the videos that are left needs."""


class ImageEngine(Generic[StateT]):
    """A VAE that decodes images."""

    def __init__(self, vae: Vae[StateT]) -> None:
        self._vae = vae
        self._heap = Heap(returns_large_blocks=True)

    def run(self, inputs: Inputs, chunk: Chunk | None = None) -> Mapping[str, Tensor]:
        """The images of one set of latents."""
        try:
            result, _ = self._vae.run(_only(inputs), None, last=True)
        finally:
            self._vae.release(())
            self._heap.trim_if_grown()
        return {self._vae.result: result}

    def forget_idle(self, seconds: float) -> None:
        """Nothing is kept between calls."""


class StreamingEngine(Generic[StateT]):
    """A VAE of videos, which keeps caches between calls."""

    def __init__(self, vae: Vae[StateT]) -> None:
        self._vae = vae
        self._states: dict[int | str, StateT] = {}
        self._last_used: dict[int | str, float] = {}
        self._heap = Heap(returns_large_blocks=True)

    def __len__(self) -> int:
        """The number of sequences that hold caches."""
        return len(self._states)

    def run(self, inputs: Inputs, chunk: Chunk | None = None) -> Mapping[str, Tensor]:
        """Process the next chunk of a sequence; a chunk without frames (axis 2) only ends it.

        Raises:
            ValueError: there is no chunk.
            LookupError: the sequence was never started, or has been forgotten.
        """
        if chunk is None:
            raise ValueError("a streaming model needs to know which chunk this is")
        source = _only(inputs)
        if self._vae.frames(source) == 0:
            self._forget(chunk.sequence_id)
            return {self._vae.result: self._vae.nothing()}
        if not chunk.start and chunk.sequence_id not in self._states:
            raise LookupError(f"sequence {chunk.sequence_id} was not started or has been idle for too long")
        # taken out: a call that fails leaves a video that cannot go on
        before = None if chunk.start else self._states.pop(chunk.sequence_id)
        try:
            result, after = self._vae.run(source, before, last=chunk.end)
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
        self._vae.release(self._states.values())
        self._heap.trim()


def open_vae_engine(
    folder: Path,
    threads: int = 0,
    band_bytes: int | None = None,
    device: Device = CPU,
    gpu_mem_limit: int | None = None,
) -> ImageEngine[Any] | StreamingEngine[Any]:
    """The engine for the VAE's graphs in a version folder, on ONNX Runtime.

    Args:
        band_bytes: how much memory a frame may take that is not cut into bands; None for what is fastest: on a GPU no
            frame is cut.

    Raises:
        FileNotFoundError: it holds no graphs, or those of an earlier release.
    """
    from runtime.banded_vae import BandedVae
    from runtime.onnx_session import open_session

    plan = BandPlan.read(folder)
    if band_bytes is None and not device.is_gpu:
        band_bytes = BAND_BYTES
    vae = BandedVae(lambda name: open_session(folder / name, threads, device, gpu_mem_limit), plan, band_bytes)
    return ImageEngine(vae) if plan.next is None else StreamingEngine(vae)


def _only(inputs: Inputs) -> Tensor:
    """A VAE's input."""
    (value,) = inputs.values()
    if isinstance(value, str):
        raise TypeError("a VAE takes a tensor")
    return value
