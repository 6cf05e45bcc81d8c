"""Which models are loaded: `generate` decides it while jobs run, and has the launcher load and unload them.

A command and its answer are a line of JSON each, over a Unix socket; a connection is for one command.
"""

import os
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

SWAP_VARIABLE = "TRITONREEL_SWAP"
"""environment variable of `generate`: a `Swap` as JSON; absent: every model stays loaded"""

JOB_MEMORY_VARIABLE = "TRITONREEL_JOB_MEMORY"
"""another: bytes of a GPU's memory that jobs may take together; empty on a CPU, where it looks itself"""

_NO_WEIGHTS = {".json", ".py"}
_ENGINE = ".plan"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class Swap(_Frozen):
    """How models are to come and go."""

    socket: Path
    """of the launcher"""
    weights_bytes: int
    """what the weights of all loaded models may take"""

    @classmethod
    def from_environment(cls) -> "Swap | None":
        """None where every model stays loaded."""
        text = os.environ.get(SWAP_VARIABLE)
        return cls.model_validate_json(text) if text else None


class Command(_Frozen):
    """What `generate` asks for."""

    action: Literal["load", "unload"]
    model: str


class Answer(_Frozen):
    """Sent when it is done: a model that was unloaded has given its memory back."""

    error: str | None = None


def weights_bytes(version_folder: Path) -> int:
    """What the files take that a Triton model loads: its graphs and weights, or the engines made of them.

    Raises:
        OSError: the folder cannot be read.
    """
    files = [file for file in version_folder.iterdir() if file.is_file() and not file.name.startswith(".")]
    sizes = {file: file.stat().st_size for file in files if file.suffix not in _NO_WEIGHTS}
    engines = sum(size for file, size in sizes.items() if file.suffix == _ENGINE)
    return max(engines, sum(sizes.values()) - engines)
