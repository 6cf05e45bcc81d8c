"""A diffusers checkpoint folder, checked before anything is loaded from it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from export.errors import CheckpointError

INDEX_FILE = "model_index.json"
_CONFIG_FILES = {"scheduler": "scheduler_config.json", "tokenizer": "tokenizer_config.json"}
_WEIGHT_FILES = (
    "diffusion_pytorch_model.safetensors",
    "diffusion_pytorch_model.safetensors.index.json",
    "model.safetensors",
    "model.safetensors.index.json",
)


@dataclass(frozen=True)
class Layout:
    """What a family's checkpoint folder consists of."""

    pipelines: tuple[str, ...]
    """diffusers' pipeline classes, one of which is the `_class_name` of model_index.json"""
    models: Mapping[str, str]
    """folder of each component with weights -> the class that it must be"""
    optional: frozenset[str] = field(default_factory=frozenset)
    """those of `models` that a checkpoint may lack"""


@dataclass(frozen=True)
class Checkpoint:
    """A folder that holds everything its family needs."""

    folder: Path
    index: Mapping[str, Any]
    """model_index.json"""
    models: tuple[str, ...]
    """components with weights that are there, in the order of the layout"""

    def config(self, component: str) -> dict[str, Any]:
        """The component's own configuration: config.json, scheduler_config.json or tokenizer_config.json."""
        return read_json(self.folder / component / _config_file(component))


def open_checkpoint(folder: Path, layout: Layout, configurations_only: bool = False) -> Checkpoint:
    """Check that `folder` is a complete checkpoint of that layout.

    Args:
        configurations_only: weights, scheduler and tokenizer may be missing.

    Raises:
        CheckpointError: saying what is missing or of another kind.
    """
    index = read_index(folder)
    if index.get("_class_name") not in layout.pipelines:
        needed = " or a ".join(layout.pipelines)
        raise CheckpointError(f"{folder} holds a {index.get('_class_name')}, and this family needs a {needed}")

    present = []
    for component, expected in layout.models.items():
        found = _class_of(index, component)
        if found is None and component in layout.optional:
            continue
        if found is None:
            raise CheckpointError(f"{folder}: {INDEX_FILE} names no {component}, and this family needs one")
        if found != expected:
            raise CheckpointError(f"{folder}: {component} is a {found}, and this family needs a {expected}")
        (_check_config if configurations_only else _check_weights)(folder / component)
        present.append(component)
    for component in () if configurations_only else _CONFIG_FILES:
        _check_config(folder / component)
    return Checkpoint(folder, index, tuple(present))


def read_index(folder: Path) -> dict[str, Any]:
    """The folder's model_index.json.

    Raises:
        CheckpointError: when the folder is no diffusers checkpoint.
    """
    if not folder.is_dir():
        raise CheckpointError(f"{folder} is not a folder")
    if not (folder / INDEX_FILE).is_file():
        raise CheckpointError(f"{folder} is not a diffusers checkpoint: it has no {INDEX_FILE}")
    return read_json(folder / INDEX_FILE)


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        CheckpointError: when the file cannot be read or holds something else.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from None
    if not isinstance(value, dict):
        raise CheckpointError(f"{path} is not a JSON object")
    return value


def _class_of(index: Mapping[str, Any], component: str) -> str | None:
    """model_index.json says ["library", "Class"], or [null, null] for a component that is left out."""
    match index.get(component):
        case [_, str(name)]:
            return name
        case _:
            return None


def _config_file(component: str) -> str:
    return _CONFIG_FILES.get(component, "config.json")


def _check_config(folder: Path) -> None:
    if not (folder / _config_file(folder.name)).is_file():
        raise CheckpointError(f"{folder.parent}: {folder.name}/{_config_file(folder.name)} is missing")


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a component.

    Raises:
        CheckpointError: there are none, or not all.
    """
    found = next((folder / name for name in _WEIGHT_FILES if (folder / name).is_file()), None)
    if found is None:
        others = sorted(path.name for path in folder.glob("*.safetensors*"))
        instead = f"; it has {', '.join(others)}, which must be renamed" if others else ""
        raise CheckpointError(
            f"{folder.parent}: {folder.name} has no weights (looked for {', '.join(_WEIGHT_FILES)}){instead}"
        )
    if found.suffix != ".json":
        return [found]
    shards = sorted(set(read_json(found).get("weight_map", {}).values()))
    missing = [shard for shard in shards if not (folder / shard).is_file()]
    if missing:
        raise CheckpointError(f"{folder.parent}: {folder.name} lacks the weight files {', '.join(missing)}")
    return [folder / shard for shard in shards]


def _check_weights(folder: Path) -> None:
    _check_config(folder)
    weight_files(folder)
