"""The linear layers that a checkpoint's transformers have, and so what an adapter may change."""

import json
from collections.abc import Mapping
from pathlib import Path

TARGETS_FILE = "lora_targets.json"

DOWN, UP = ".lora_A", ".lora_B"
"""what a graph's adapter inputs are called after their layer: A [in, rank] and B [rank, out]"""

Sizes = Mapping[str, tuple[int, int]]
"""(in, out) features of each linear layer, by the name that diffusers gives it"""


def write_targets(folder: Path, targets: Mapping[str, Sizes]) -> None:
    """Write `folder/lora_targets.json`: the layers of each transformer, by component."""
    (folder / TARGETS_FILE).write_text(json.dumps(targets) + "\n")


def read_targets(folder: Path) -> dict[str, Sizes]:
    """What `write_targets` wrote; empty where it wrote nothing."""
    file = folder / TARGETS_FILE
    if not file.exists():
        return {}
    components: dict[str, dict[str, list[int]]] = json.loads(file.read_text())
    return {
        component: {layer: (fan_in, fan_out) for layer, (fan_in, fan_out) in sizes.items()}
        for component, sizes in components.items()
    }
