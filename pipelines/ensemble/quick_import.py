"""Imports diffusers in less time, for the process that is to be back soon when it has died."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

_COMPILER = "torch._dynamo"


@contextmanager
def without_torch_compiler() -> Iterator[None]:
    """What is imported within finds no `torch._dynamo`, whose import takes as long as that of all else together.

    diffusers uses it for what it compiles or traces, and goes without where there is none. A process that does either
    must not use this.
    """
    if _COMPILER in sys.modules:
        yield
        return
    sys.modules[_COMPILER] = None  # type: ignore[assignment]  # the documented way to make an import fail
    try:
        yield
    finally:
        del sys.modules[_COMPILER]
