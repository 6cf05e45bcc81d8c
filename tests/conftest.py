"""Exported model repositories, made once a session by the commands that a user would run."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Exported:
    """A checkpoint and the model repository made of it."""

    checkpoint: Path
    repository: Path


def run_module(*arguments: object, timeout: float = 600) -> None:
    """Run `python -m ...` from the project's root; its output shows when it fails."""
    command = [sys.executable, "-m", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, timeout=timeout, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"


def export(checkpoint: Path, repository: Path) -> Exported:
    run_module("export", checkpoint, "--family", "wan_t2v", "--to", repository)
    return Exported(checkpoint, repository)


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """The trained toy checkpoint."""
    return export(ROOT / "checkpoints" / "toy-wan-t2v", tmp_path_factory.mktemp("toy") / "model_repository")


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Exported]:
    """Random-weight checkpoints, by layout."""

    @cache
    def make(layout: str) -> Exported:
        folder = tmp_path_factory.mktemp(layout)
        run_module("export.tiny", folder / "checkpoint", "--layout", layout, "--seed", 1)
        return export(folder / "checkpoint", folder / "model_repository")

    return make
