"""One tiny checkpoint and one export of it, shared by the tests of this folder."""

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from export.quiet import quiet_libraries
from export.tiny import LayoutName, build

EXTERNAL_ABOVE = 200_000
"""bytes; above the tiny text encoder's weights, below the transformers' and the VAE's"""


@dataclass(frozen=True)
class CommandLineExport:
    """A finished `python -m export`."""

    repository: Path
    output: str


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The two-expert layout, seed 0. Copy it before changing anything."""
    quiet_libraries()
    folder = tmp_path_factory.mktemp("checkpoints") / "tiny"
    build(folder, LayoutName.TWO_EXPERTS, seed=0)
    return folder


@pytest.fixture(scope="session")
def qwen_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Qwen-Image layout, seed 0. Copy it before changing anything."""
    quiet_libraries()
    folder = tmp_path_factory.mktemp("checkpoints") / "qwen-image"
    build(folder, LayoutName.QWEN_IMAGE, seed=0)
    return folder


@pytest.fixture(scope="session")
def exported(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> CommandLineExport:
    """The tiny checkpoint exported from the command line into a new repository, larger weights to external data."""
    repository = tmp_path_factory.mktemp("export") / "repository"
    finished = subprocess.run(
        export_command(tiny_checkpoint, repository, "--external-above", str(EXTERNAL_ABOVE)),
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return CommandLineExport(repository, finished.stdout)


def export_command(checkpoint: Path, repository: Path, *more: str) -> Sequence[str]:
    return [sys.executable, "-m", "export", str(checkpoint), "--to", str(repository), *more]
