"""Small stand-ins of ComfyUI's modules, as far as the nodes call them (0.3.64), and the nodes imported beside them."""

import importlib.util
import io
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from PIL import Image

from tests.conftest import ROOT

NODES = ROOT / "integrations" / "comfyui"


class InterruptProcessingException(Exception):
    """The button was pressed."""


class VideoFromFile:
    def __init__(self, file: io.BytesIO) -> None:
        self.file = file


class ComfyModules:
    """What ComfyUI has, and what nodes have told it."""

    def __init__(self, *, has_videos: bool = True) -> None:
        self.interrupted = False
        self.told: list[tuple[int, int, tuple[str, Image.Image, int] | None]] = []
        comfy = self

        class ProgressBar:
            def __init__(self, total: int) -> None:
                self.total = total

            def update_absolute(self, value: int, total: int, preview: Any = None) -> None:
                comfy.told.append((value, total, preview))

        def throw_exception_if_processing_interrupted() -> None:
            if self.interrupted:
                self.interrupted = False
                raise InterruptProcessingException

        self.modules = {
            "comfy": types.ModuleType("comfy"),
            "comfy.utils": _module("comfy.utils", ProgressBar=ProgressBar),
            "comfy.model_management": _module(
                "comfy.model_management",
                throw_exception_if_processing_interrupted=throw_exception_if_processing_interrupted,
            ),
        }
        self.modules["comfy"].utils = self.modules["comfy.utils"]  # type: ignore[attr-defined]
        self.modules["comfy"].model_management = self.modules["comfy.model_management"]  # type: ignore[attr-defined]
        if has_videos:
            self.modules["comfy_api"] = types.ModuleType("comfy_api")
            self.modules["comfy_api.input_impl"] = _module("comfy_api.input_impl", VideoFromFile=VideoFromFile)

    @contextmanager
    def nodes(self) -> Iterator[Any]:
        """The package of nodes, imported as ComfyUI imports it: by its folder, under a name of ComfyUI's."""
        name = "custom_nodes_tritonreel"
        spec = importlib.util.spec_from_file_location(
            name, NODES / "__init__.py", submodule_search_locations=[str(NODES)]
        )
        assert spec is not None
        assert spec.loader is not None
        package = importlib.util.module_from_spec(spec)
        sys.modules |= {**self.modules, name: package}
        try:
            spec.loader.exec_module(package)
            yield package
        finally:
            for module in [one for one in sys.modules if one.split(".")[0] in ("comfy", "comfy_api", name)]:
                del sys.modules[module]


def _module(name: str, **content: object) -> types.ModuleType:
    module = types.ModuleType(name)
    vars(module).update(content)
    return module
