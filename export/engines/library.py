"""TensorRT, or TensorRT for RTX: nearly the same Python API in two libraries.

Full TensorRT is for data centre GPUs too, and needs the GPU that it builds for. TensorRT for RTX knows compute
capabilities 7.5, 8.0, 8.6, 8.9, 12.0 and 12.1, and builds for any of them on a machine without a GPU.
"""

import ctypes
import importlib
import importlib.util
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import ModuleType

from export.engines.errors import EngineError

_RTX_LIBRARIES = ("libtensorrt_rtx.so.1", "libtensorrt_onnxparser_rtx.so.1")
_INSTALL = {
    "tensorrt": "pip install tensorrt-cu13-bindings, of the version whose libraries are there",
    "tensorrt-rtx": "pip install 'tritonreel[tensorrt-rtx]'",
}


class LibraryName(StrEnum):
    TENSORRT = "tensorrt"
    TENSORRT_RTX = "tensorrt-rtx"


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
    wanted = [name] if name else list(LibraryName)
    problems = []
    for one in wanted:
        try:
            trt = _import_rtx() if one is LibraryName.TENSORRT_RTX else _import_full()
        except (ImportError, OSError) as error:
            problems.append(f"{one} cannot be loaded ({error}): {_INSTALL[one]}")
        else:
            return Library(one, trt.__version__, _capabilities(trt), trt)
    raise EngineError("; or ".join(problems))


def capability_name(capability: str) -> str:
    """ "8.9" -> "SM89", as the library calls it."""
    return "SM" + capability.replace(".", "")


def _import_full() -> ModuleType:
    for name in ("tensorrt", "tensorrt_bindings"):
        if importlib.util.find_spec(name) is not None:
            return importlib.import_module(name)
    raise ImportError("it is not installed")


def _import_rtx() -> ModuleType:
    """The bindings expect the libraries to be loaded, with global symbols; the meta package would only do that."""
    found = importlib.util.find_spec("tensorrt_rtx_libs")
    if found is None or not found.submodule_search_locations:
        raise ImportError("it is not installed")
    for library in _RTX_LIBRARIES:
        ctypes.CDLL(str(Path(found.submodule_search_locations[0]) / library), mode=ctypes.RTLD_GLOBAL)
    return importlib.import_module("tensorrt_rtx_bindings")


def _capabilities(trt: ModuleType) -> tuple[str, ...]:
    known = getattr(trt, "ComputeCapability", None)
    names = [] if known is None else sorted(name for name in known.__members__ if name.startswith("SM"))
    return tuple(f"{name[2:-1]}.{name[-1]}" for name in sorted(names, key=lambda name: int(name[2:])))
