"""The library that engines are built with: `runtime.tensorrt_library`, and what it builds for."""

from dataclasses import dataclass
from types import ModuleType

from export.engines.errors import EngineError
from runtime.engine import EngineUnusable
from runtime.tensorrt_library import LibraryName, load

__all__ = ["Library", "LibraryName", "capability_name", "load_library"]


@dataclass(frozen=True)
class Library:
    """The one that engines are built with."""

    name: LibraryName
    version: str
    capabilities: tuple[str, ...]
    """compute capabilities that it builds for without a GPU, such as "8.9"; none: for the GPU of the machine"""
    module: ModuleType
    """see stubs/tensorrt.pyi"""


def load_library(name: LibraryName | None = None) -> Library:
    """The library of that name, or the one that is installed.

    Raises:
        EngineError: it is not installed, or does not load; the message says which wheel is missing.
    """
    problems = []
    for one in [name] if name else list(LibraryName):
        try:
            loaded = load(one)
        except EngineUnusable as error:
            problems.append(str(error))
        else:
            return Library(one, loaded.version, _capabilities(loaded.module), loaded.module)
    raise EngineError("; or ".join(problems))


def capability_name(capability: str) -> str:
    """ "8.9" -> "SM89", as the library calls it."""
    return "SM" + capability.replace(".", "")


def _capabilities(trt: ModuleType) -> tuple[str, ...]:
    known = getattr(trt, "ComputeCapability", None)
    names = [] if known is None else sorted(name for name in known.__members__ if name.startswith("SM"))
    return tuple(f"{name[2:-1]}.{name[-1]}" for name in sorted(names, key=lambda name: int(name[2:])))
