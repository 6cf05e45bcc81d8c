"""The project, or a part of it, installed alone in an empty environment."""

import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from tests.conftest import ROOT


class Alone:
    """A virtual environment with the project and what it needs, and nothing else.

    Args:
        folder: for it.
        packages: the sources that there are.
        extra: of the project; none if empty.
    """

    def __init__(self, folder: Path, packages: Iterable[str], extra: str = "") -> None:
        self.programs = folder / "venv" / "bin"
        self._folder = folder
        project = folder / "project"  # a build leaves files behind
        project.mkdir()
        for file in ("pyproject.toml", "README.md", "LICENSE", "constraints.txt"):
            shutil.copy(ROOT / file, project)
        for package in packages:
            shutil.copytree(ROOT / package, project / package, ignore=shutil.ignore_patterns("__pycache__"))
        self.run(sys.executable, "-m", "venv", folder / "venv")
        wanted = f"{project}[{extra}]" if extra else project
        pip = (self.programs / "python", "-m", "pip", "install", "--quiet", "--no-compile")
        self.run(*pip, "-c", project / "constraints.txt", wanted)

    def run(self, *command: str | Path, status: int = 0) -> str:
        """What it prints; it ends with that status."""
        done = subprocess.run(command, cwd=self._folder, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout + done.stderr
