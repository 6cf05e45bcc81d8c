"""What a checkpoint's transformers have that an adapter may change."""

from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, TypeAdapter

TARGETS_FILE = "lora_targets.json"

DOWN, UP = ".lora_A", ".lora_B"
"""what a graph's low-rank inputs are called after their layer: A [in, rank] and B [rank, out]"""
DIFFERENCE = ".diff"
"""what a graph's input is called after the parameter that it is added to, whose shape it has"""

Sizes = Mapping[str, tuple[int, int]]
"""(in, out) features of each linear layer, by the name that diffusers gives it"""


class Targets(BaseModel):
    """Those of one transformer, by the names that diffusers gives them."""

    model_config = ConfigDict(frozen=True)

    layers: dict[str, tuple[int, int]] = {}
    """(in, out) features of each linear layer"""
    parameters: dict[str, tuple[int, ...]] = {}
    """shapes of all other parameters: biases, weights of norms and of the patch embedding, modulation tables"""


_Components = TypeAdapter(dict[str, Targets])


def write_targets(folder: Path, targets: Mapping[str, Targets]) -> None:
    """Write `folder/lora_targets.json`: the targets of each transformer, by component."""
    (folder / TARGETS_FILE).write_bytes(_Components.dump_json(dict(targets)) + b"\n")


def read_targets(folder: Path) -> dict[str, Targets]:
    """What `write_targets` wrote; empty where it wrote nothing."""
    file = folder / TARGETS_FILE
    return _Components.validate_json(file.read_bytes()) if file.exists() else {}
