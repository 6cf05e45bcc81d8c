"""TensorRT, or TensorRT for RTX: nearly the same Python API in two libraries.

Full TensorRT is for data centre GPUs too, and needs the GPU that it builds for. TensorRT for RTX knows compute
capabilities 7.5, 8.0, 8.6, 8.9, 12.0 and 12.1, and builds for any of them on a machine without a GPU.
"""

import ctypes
import importlib
import importlib.util
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple

from runtime.engine import EngineUnusable

if TYPE_CHECKING:
    import tensorrt

_RTX_LIBRARIES = ("libtensorrt_rtx.so.1", "libtensorrt_onnxparser_rtx.so.1")
_MODULES = {"tensorrt": ("tensorrt", "tensorrt_bindings"), "tensorrt-rtx": ("tensorrt_rtx_bindings",)}
_INSTALL = {
    "tensorrt": "pip install tensorrt-cu13-bindings, of the version whose libraries are there",
    "tensorrt-rtx": "pip install 'tritonreel[tensorrt-rtx]'",
}
_ERROR = 1
"""of `ILogger.Severity`, where less is worse"""


class LibraryName(StrEnum):
    TENSORRT = "tensorrt"
    TENSORRT_RTX = "tensorrt-rtx"


class LoadedLibrary(NamedTuple):
    """One of the two."""

    name: LibraryName
    version: str
    module: ModuleType
    """see stubs/tensorrt.pyi"""


def is_installed(name: LibraryName) -> bool:
    return any(importlib.util.find_spec(module) is not None for module in _MODULES[name])


def how_to_install(name: LibraryName) -> str:
    return _INSTALL[name]


def load(name: LibraryName) -> LoadedLibrary:
    """Import a library.

    Raises:
        EngineUnusable: it is not installed, or does not load; the message says which wheel is missing.
    """
    try:
        trt = _import_rtx() if name is LibraryName.TENSORRT_RTX else _import_full()
    except (ImportError, OSError) as error:
        raise EngineUnusable(f"{name} cannot be loaded ({error}): {_INSTALL[name]}") from None
    return LoadedLibrary(name, trt.__version__, trt)


def make_logger(trt: ModuleType, say: Callable[[str], object]) -> "tensorrt.ILogger":
    """A logger that passes errors on.

    Args:
        say: told each of them.
    """

    class Logger(trt.ILogger):  # type: ignore[name-defined,misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: "tensorrt.ILogger.Severity", msg: str) -> None:
            if int(severity) <= _ERROR:
                say(msg)

    logger: tensorrt.ILogger = Logger()
    return logger


def _import_full() -> ModuleType:
    for name in _MODULES["tensorrt"]:
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
