"""A GPU as engines use it through torch: buffers, a stream of their own, and room for activations that they share."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import RLock
from typing import Any

import torch
from torch.utils.dlpack import from_dlpack

from protocol.placement import Device

ALIGNMENT = 256
"""bytes, of what TensorRT takes for its activations; torch's allocator aligns to more"""


class GpuMemory:
    """Of one GPU. The engines of a process take turns, so one room for activations is enough for them all."""

    def __init__(self, device: Device) -> None:
        self.device = torch.device(str(device))
        self._stream = self._make_stream()
        self._turn = RLock()
        self._activations = self.empty((0,), torch.uint8)

    @property
    def stream(self) -> int:
        """Handle of the CUDA stream that engines compute on: not the default one, which TensorRT would wait for."""
        return int(self._stream.cuda_stream)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Compute within the block: what was begun on the GPU before it is done first, and it is done at its end.

        No other thread computes meanwhile.
        """
        with self._turn, torch.cuda.device(self.device):
            self._stream.wait_stream(torch.cuda.current_stream())
            try:
                with torch.cuda.stream(self._stream):
                    yield
            finally:  # inputs go back to whoever owns them, and another engine takes the activations
                self._stream.synchronize()

    def take(self, tensor: Any) -> torch.Tensor:
        """On the GPU, contiguous: the same memory if it is there already.

        Args:
            tensor: whatever gives DLPack, on any device that torch knows.
        """
        return as_torch(tensor).to(self.device).contiguous()

    def empty(self, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        return torch.empty(shape, dtype=dtype, device=self.device)

    def activations(self, size: int) -> int:
        """The address of so many bytes, whose content is lost with the next turn."""
        if self._activations.nbytes < size:
            self._activations = self.empty((0,), torch.uint8)  # gone before the larger one is made
            self._activations = self.empty((size,), torch.uint8)
        return self._activations.data_ptr()

    def _make_stream(self) -> Any:
        return torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]


def as_torch(tensor: Any) -> torch.Tensor:
    """Where it is, in the same memory.

    Args:
        tensor: whatever gives DLPack, on any device that torch knows.
    """
    return tensor if isinstance(tensor, torch.Tensor) else from_dlpack(tensor)


@cache
def gpu_memory(device: Device) -> GpuMemory:
    """The one of this process."""
    return GpuMemory(device)
