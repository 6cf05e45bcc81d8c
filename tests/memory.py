"""How much memory Python objects take at most while something runs."""

import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass
class Traced:
    peak: int = 0
    """bytes, once the block has ended"""


@contextmanager
def traced() -> Iterator[Traced]:
    result = Traced()
    tracemalloc.start()
    try:
        yield result
        result.peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
