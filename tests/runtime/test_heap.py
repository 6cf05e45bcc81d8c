"""Memory that was freed is given back to the system."""

import ctypes

from runtime.heap import Heap, resident_bytes

MIB = 2**20
BLOCK = 64 * 1024
"""bytes; the C library takes what is larger than 128 KiB from the system directly, and gives it back by itself"""


def fragmented(libc: ctypes.CDLL, total: int) -> tuple[list[int], int]:
    """So many bytes in small blocks, and one more block that holds the heap's end where it is."""
    blocks = [libc.malloc(BLOCK) for _ in range(total // BLOCK)]
    for block in blocks:
        ctypes.memset(block, 1, BLOCK)
    return blocks, libc.malloc(BLOCK)


def test_what_was_freed_is_given_back_once_the_process_has_grown() -> None:
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    libc.free.argtypes = [ctypes.c_void_p]
    heap = Heap()
    heap.trim()
    before = resident_bytes()
    blocks, last = fragmented(libc, 128 * MIB)
    for block in blocks:
        libc.free(block)
    grown = resident_bytes()
    assert grown > before + 100 * MIB

    heap.trim_if_grown()
    assert resident_bytes() < before + 30 * MIB
    libc.free(last)


def test_a_process_that_has_not_grown_is_left_alone() -> None:
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    libc.free.argtypes = [ctypes.c_void_p]
    heap = Heap()
    heap.trim()
    blocks, last = fragmented(libc, 32 * MIB)
    for block in blocks:
        libc.free(block)
    grown = resident_bytes()

    heap.trim_if_grown()
    assert resident_bytes() > grown - 8 * MIB
    libc.free(last)
