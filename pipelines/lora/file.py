"""Adapter files: what PEFT, diffusers and other trainers write, read without torch.

A linear layer's update is `alpha / rank * B @ A`, with A [rank, in] and B [out, rank]. The layer's name stands
between a prefix that says whose it is and an ending that says which of the two matrices, or the alpha, follows:

    base_model.model.<layer>.lora_A.weight       PEFT; the alpha is in adapter_config.json
    transformer.<layer>.lora_A.weight            diffusers; the alpha is the rank, or in the file's metadata
    transformer_2.<layer>.lora_A.weight          the low-noise expert's, in a file for both
    diffusion_model.<layer>.lora_down.weight     ComfyUI, often with Wan's own names, and <layer>.alpha
    lora_unet_<layer>.lora_down.weight           kohya's trainers, likewise, with underscores for dots
"""

import json
import math
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.lora.safetensors_file import SafetensorsHeader, TensorInfo, read_header
from pipelines.lora.settings import LoraSettings
from protocol.errors import InvalidRequest
from protocol.printable import quoted

PEFT_WEIGHTS = "adapter_model.safetensors"
PEFT_CONFIG = "adapter_config.json"
MAX_CONFIG_BYTES = 2**20

Version = tuple[int, ...]
"""modification time in nanoseconds and size in bytes, of the weights and then of PEFT's settings"""

_KEY = re.compile(
    r"(?P<peft>base_model\.model\.)?(?:(?P<component>transformer|transformer_2|diffusion_model)\.)?(?P<layer>.+?)\."
    r"(?:(?P<part>alpha)|lora_(?P<ab>[AB])(?:\.\w+)?\.weight|lora[._](?P<direction>down|up)\.weight)"
)
_PARTS = {"A": "down", "B": "up"}
_METADATA_KEY = "lora_adapter_metadata"
"""under which diffusers writes PEFT's settings into the header, as JSON with the component before each key"""


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer's update."""

    down: TensorInfo
    """A, [rank, in]"""
    up: TensorInfo
    """B, [out, rank]"""
    factor: float
    """alpha / rank"""

    @property
    def rank(self) -> int:
        return self.down.shape[0]

    @property
    def sizes(self) -> tuple[int, int]:
        """(in, out)"""
        return self.down.shape[1], self.up.shape[0]


@dataclass(frozen=True)
class AdapterFile:
    """An adapter; nothing but its header has been read.

    Args:
        parts: layers by component and by name as the file has it.
    """

    path: Path
    version: Version
    parts: Mapping[str, Mapping[str, Layer]]

    @property
    def bytes(self) -> int:
        return self.version[1]

    @property
    def rank(self) -> int:
        """The greatest."""
        return max(layer.rank for layers in self.parts.values() for layer in layers.values())

    @property
    def is_pair(self) -> bool:
        """Whether the file tells the two experts apart."""
        return "transformer_2" in self.parts

    def layers(self, component: str) -> Mapping[str, Layer]:
        """What the file has for one transformer; a file that does not tell them apart is for each."""
        return self.parts.get(component, {}) if self.is_pair else self.parts["transformer"]

    def read(self, layers: Mapping[str, Layer], scale: float) -> dict[str, tuple[NDArray[np.float32], ...]]:
        """The matrices that turn `x @ W` into `x @ W + (x @ A) @ B`, by the layer's name.

        Returns:
            A float32 [in, rank] and B float32 [rank, out], which holds the scale and the factor.
        """
        with self.path.open("rb") as file:
            return {
                name: (
                    np.ascontiguousarray(layer.down.read(file).T),
                    np.ascontiguousarray(layer.up.read(file).T) * np.float32(scale * layer.factor),
                )
                for name, layer in layers.items()
            }


def version_of(path: Path) -> Version:
    """Changes whenever the adapter is replaced.

    Raises:
        OSError: there is no such file.
    """
    files = [path] + [file for file in [path.with_name(PEFT_CONFIG)] if _has_config(path)]
    return tuple(number for file in files for number in (file.stat().st_mtime_ns, file.stat().st_size))


def read_adapter(path: Path, name: str) -> AdapterFile:
    """The adapter in a safetensors file.

    Args:
        name: what people call it.

    Raises:
        InvalidRequest: the file is none, is damaged, or holds something else than low-rank updates of linear layers.
    """
    try:
        version = version_of(path)
        header = read_header(path)
        settings = _settings(path, header)
        return AdapterFile(path, version, _parts(path, header, settings))
    except (OSError, ValueError) as error:
        reason = (error.strerror or "unreadable") if isinstance(error, OSError) else str(error)
        raise InvalidRequest(f"adapter {quoted(name)} cannot be used: {reason}", "lora") from None


def _has_config(path: Path) -> bool:
    return path.name == PEFT_WEIGHTS and path.with_name(PEFT_CONFIG).is_file()


def _settings(path: Path, header: SafetensorsHeader) -> dict[str, LoraSettings]:
    """PEFT's settings by component; those of adapter_config.json are the transformer's."""
    if _has_config(path):
        config = path.with_name(PEFT_CONFIG)
        if config.stat().st_size > MAX_CONFIG_BYTES:
            raise ValueError(f"{PEFT_CONFIG} is too large")
        return {"transformer": LoraSettings.parse(_json_object(config.read_bytes(), PEFT_CONFIG), PEFT_CONFIG)}
    if _METADATA_KEY not in header.metadata:
        return {}
    by_component: dict[str, dict[str, Any]] = defaultdict(dict)
    for key, value in _json_object(header.metadata[_METADATA_KEY], _METADATA_KEY).items():
        component, _, setting = key.partition(".")
        by_component[component][setting] = value
    return {component: LoraSettings.parse(values, _METADATA_KEY) for component, values in by_component.items()}


def _json_object(text: str | bytes, where: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError(f"{where} is not JSON") from None
    if not isinstance(value, dict):
        raise ValueError(f"{where} is not a JSON object")
    return value


def _parts(path: Path, header: SafetensorsHeader, settings: Mapping[str, LoraSettings]) -> dict[str, dict[str, Layer]]:
    """Group the tensors by component, layer and part."""
    found: dict[str, dict[str, dict[str, TensorInfo]]] = defaultdict(lambda: defaultdict(dict))
    for key, tensor in header.tensors.items():
        match = _KEY.fullmatch(key)
        if match is None:
            raise ValueError(f"{key} is no low-rank update of a linear layer")
        if match["peft"] and not _has_config(path):
            raise ValueError(f"{key} has PEFT's name, so {PEFT_CONFIG} must stand beside {PEFT_WEIGHTS}")
        part = match["part"] or match["direction"] or _PARTS[match["ab"]]
        component = "transformer_2" if match["component"] == "transformer_2" else "transformer"
        if part in found[component][match["layer"]]:
            raise ValueError(f"{key} stands for what another of its tensors already says")
        found[component][match["layer"]][part] = tensor
    if not found:
        raise ValueError("it is empty")
    return {
        component: {layer: _layer(path, layer, tensors, settings.get(component)) for layer, tensors in layers.items()}
        for component, layers in found.items()
    }


def _layer(path: Path, layer: str, tensors: Mapping[str, TensorInfo], settings: LoraSettings | None) -> Layer:
    if missing := {"down", "up"} - tensors.keys():
        raise ValueError(f"{layer} lacks lora_{'A' if 'down' in missing else 'B'}")
    down, up = tensors["down"], tensors["up"]
    if len(down.shape) != 2 or len(up.shape) != 2 or 0 in (*down.shape, *up.shape):
        raise ValueError(f"{layer} is no linear layer: lora_A is {list(down.shape)} and lora_B {list(up.shape)}")
    rank = down.shape[0]
    if up.shape[1] != rank:
        raise ValueError(f"{layer}: lora_A has rank {rank} and lora_B has rank {up.shape[1]}")
    if "alpha" not in tensors:
        return Layer(down, up, settings.factor(layer, rank) if settings else 1.0)
    if settings is not None:
        raise ValueError(f"{layer} has an alpha of its own beside that of the settings")
    alpha = tensors["alpha"]
    if math.prod(alpha.shape) != 1:
        raise ValueError(f"{layer}: alpha is not one number")
    with path.open("rb") as file:
        value = float(alpha.read(file).reshape(()))
    if not math.isfinite(value):
        raise ValueError(f"{layer}: alpha is {value}")
    return Layer(down, up, value / rank)
