"""Adapter files: what trainers write, read without torch. How they call things is in `pipelines.lora.keys`.

A linear layer's update is `alpha / rank * B @ A`, with A [rank, in] and B [out, rank]. Other parameters, and small
layers, have their whole difference in the file.
"""

import json
import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from pipelines.lora.keys import Address, Kind, Part, parse_key
from pipelines.lora.safetensors_file import SafetensorsHeader, TensorInfo, read_header
from pipelines.lora.settings import LoraSettings
from protocol.errors import InvalidRequest
from protocol.printable import quoted

PEFT_WEIGHTS = "adapter_model.safetensors"
PEFT_CONFIG = "adapter_config.json"
MAX_CONFIG_BYTES = 2**20

Version = tuple[int, ...]
"""modification time in nanoseconds and size in bytes, of the weights and then of PEFT's settings"""

_DIFFERENCES = {
    Part.WEIGHT: Kind.WEIGHT,
    Part.BIAS: Kind.BIAS,
    Part.UP_BIAS: Kind.BIAS,
    Part.TABLE: Kind.TABLE,
}
_METADATA_KEY = "lora_adapter_metadata"
"""under which diffusers writes PEFT's settings into the header, as JSON with the component before each key"""


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer's low-rank update."""

    down: TensorInfo
    """A, [rank, in]; that of a convolution [rank, in, ...kernel]"""
    up: TensorInfo
    """B, [out, rank]; that of a convolution [out, rank, ...1]"""
    factor: float
    """alpha / rank"""

    @property
    def rank(self) -> int:
        return self.down.shape[0]

    @property
    def sizes(self) -> tuple[int, int]:
        """(in, out)"""
        return self.down.shape[1], self.up.shape[0]

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the weight."""
        return (self.up.shape[0], *self.down.shape[1:])

    def read(self, file: BinaryIO, scale: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """What turns `x @ W` into `x @ W + (x @ A) @ B`: A float32 [in, rank] and B float32 [rank, out], which holds
        the scale and the factor."""
        down, up = (tensor.read(file).reshape(tensor.shape[0], -1) for tensor in (self.down, self.up))
        return np.ascontiguousarray(down.T), np.ascontiguousarray(up.T) * np.float32(scale * self.factor)


@dataclass(frozen=True, slots=True)
class Difference:
    """What is added to a parameter."""

    tensor: TensorInfo
    factor: float = 1.0

    @property
    def shape(self) -> tuple[int, ...]:
        return self.tensor.shape

    def read(self, file: BinaryIO, scale: float) -> NDArray[np.float32]:
        """Times the scale and the factor."""
        return self.tensor.read(file) * np.float32(scale * self.factor)


@dataclass(frozen=True)
class Updates:
    """What a file has for one transformer, in the file's words."""

    layers: Mapping[str, Layer]
    differences: Mapping[Address, Difference]

    def __bool__(self) -> bool:
        return bool(self.layers or self.differences)


NO_UPDATES = Updates({}, {})


@dataclass(frozen=True)
class AdapterFile:
    """An adapter; nothing but its header and its alphas has been read.

    Args:
        parts: updates by component.
        notes: what was taken for granted, for those who use it.
    """

    path: Path
    version: Version
    parts: Mapping[str, Updates]
    notes: tuple[str, ...] = ()

    @property
    def bytes(self) -> int:
        return self.version[1]

    @property
    def rank(self) -> int:
        """The greatest; 0 where all are whole differences."""
        return max((layer.rank for part in self.parts.values() for layer in part.layers.values()), default=0)

    @property
    def is_pair(self) -> bool:
        """Whether the file tells the two experts apart."""
        return "transformer_2" in self.parts

    def updates(self, component: str) -> Updates:
        """What the file has for one transformer; a file that does not tell them apart is for each."""
        return self.parts.get(component, NO_UPDATES) if self.is_pair else self.parts["transformer"]


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
        InvalidRequest: the file is none, is damaged, or holds something else than low-rank updates and differences.
    """
    try:
        version = version_of(path)
        header = read_header(path)
        settings = _settings(path, header)
        found, notes = _group(path, header)
        with path.open("rb") as file:
            parts = {component: _updates(layers, settings.get(component), file) for component, layers in found.items()}
        return AdapterFile(path, version, parts, notes)
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


Found = dict[str, dict[str, dict[Part, TensorInfo]]]
"""tensors by component, layer and part"""


def _group(path: Path, header: SafetensorsHeader) -> tuple[Found, tuple[str, ...]]:
    """The tensors, and what is to be said about them."""
    found: Found = defaultdict(lambda: defaultdict(dict))
    has_settings = _has_config(path)
    is_peft = False
    for name, tensor in header.tensors.items():
        key = parse_key(name)
        if key.is_peft and not has_settings and path.name == PEFT_WEIGHTS:
            raise ValueError(f"{name} has PEFT's name, so {PEFT_CONFIG} must stand beside {PEFT_WEIGHTS}")
        is_peft = is_peft or key.is_peft
        if key.part in found[key.component][key.layer]:
            raise ValueError(f"{name} stands for what another of its tensors already says")
        if key.part is not Part.ALPHA and not tensor.is_float:
            raise ValueError(f"{name} is of {tensor.dtype}, which is quantised in a way that the file does not say")
        found[key.component][key.layer][key.part] = tensor
    if not found:
        raise ValueError("it is empty")
    has_alpha = any(Part.ALPHA in parts for layers in found.values() for parts in layers.values())
    unsaid = is_peft and not has_settings and not has_alpha and _METADATA_KEY not in header.metadata
    return found, (f"without PEFT's {PEFT_CONFIG} its alpha is taken to be its rank",) if unsaid else ()


def _updates(layers: Mapping[str, Mapping[Part, TensorInfo]], settings: LoraSettings | None, file: BinaryIO) -> Updates:
    low_rank, differences = {}, {}
    for name, parts in layers.items():
        bias_factor = 1.0
        if (parts.keys() & {Part.DOWN, Part.UP, Part.UP_BIAS}) or parts.keys() == {Part.ALPHA}:
            low_rank[name] = _layer(name, parts, settings, file)
            bias_factor = low_rank[name].factor
        for part, kind in _DIFFERENCES.items():
            if part not in parts:
                continue
            address = Address(name, kind)
            if address in differences:
                raise ValueError(f"{name} has two differences of its {kind}")
            if 0 in parts[part].shape:
                raise ValueError(f"{name}: its {part.value} is empty")
            differences[address] = Difference(parts[part], bias_factor if part is Part.UP_BIAS else 1.0)
    return Updates(low_rank, differences)


def _layer(layer: str, parts: Mapping[Part, TensorInfo], settings: LoraSettings | None, file: BinaryIO) -> Layer:
    for part in (Part.DOWN, Part.UP):
        if part not in parts:
            raise ValueError(f"{layer} lacks {part.value}")
    down, up = parts[Part.DOWN], parts[Part.UP]
    if not 2 <= len(down.shape) == len(up.shape) or 0 in (*down.shape, *up.shape) or set(up.shape[2:]) - {1}:
        raise ValueError(f"{layer} is no linear layer: lora_A is {list(down.shape)} and lora_B {list(up.shape)}")
    rank = down.shape[0]
    if up.shape[1] != rank:
        raise ValueError(f"{layer}: lora_A has rank {rank} and lora_B has rank {up.shape[1]}")
    if Part.ALPHA not in parts:
        return Layer(down, up, settings.factor(layer, rank) if settings else 1.0)
    alpha = parts[Part.ALPHA]
    if math.prod(alpha.shape) != 1:
        raise ValueError(f"{layer}: alpha is not one number")
    value = float(alpha.read(file).reshape(()))
    if not math.isfinite(value):
        raise ValueError(f"{layer}: alpha is {value}")
    if settings is not None and not math.isclose(settings.factor(layer, rank), value / rank, rel_tol=1e-3):
        raise ValueError(f"{layer} has an alpha of its own beside that of the settings")
    return Layer(down, up, value / rank)
