"""The C heap of this process, which keeps what was freed until it is told to give it back."""

import ctypes
import os
import resource

_M_MMAP_THRESHOLD = -3
"""of glibc's malloc.h"""
_LARGE_BLOCK = 4 * 2**20
_PAGE_BYTES = resource.getpagesize()
_GROWTH_BYTES = 64 * 2**20
"""giving back and taking again costs page faults, which pay only where there is something to give"""


class Heap:
    """Gives freed memory back to the system when it is told to.

    Args:
        returns_large_blocks: give back blocks of 4 MiB and more as soon as they are freed, from now on. Each then costs
            page faults when it is taken again, which shows where large tensors are computed quickly.
    """

    def __init__(self, returns_large_blocks: bool = False) -> None:
        libc = ctypes.CDLL(None)
        if returns_large_blocks:
            libc.mallopt(_M_MMAP_THRESHOLD, _LARGE_BLOCK)  # without it glibc raises the limit to 32 MiB by itself
        self._malloc_trim = libc.malloc_trim
        self._resident = resident_bytes()

    def trim(self) -> None:
        """Give back everything that is free."""
        self._malloc_trim(ctypes.c_size_t(0))
        self._resident = resident_bytes()

    def trim_if_grown(self) -> None:
        """Give back what is free once the process has grown by 64 MiB."""
        if resident_bytes() > self._resident + _GROWTH_BYTES:
            self.trim()


def resident_bytes() -> int:
    """Physical memory of this process."""
    # after every call of a model: `Path.read_text` takes as long as a small operator
    file = os.open("/proc/self/statm", os.O_RDONLY)
    try:
        _, pages, *_ = os.read(file, 256).split()
    finally:
        os.close(file)
    return int(pages) * _PAGE_BYTES
