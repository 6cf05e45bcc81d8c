"""Exported model repositories, made once a session by the commands that a user would run.

Where TRITONREEL_TEST_EXPORTS names a folder they stay there, and the next session exports only what has changed.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ONE_OF_EACH_FAMILY = ("two-experts", "i2v", "ti2v", "qwen-image")
"""layouts that share one repository, as they would in production"""

_KINDS = {
    "export": "parity",
    "launcher": "server",
    "server": "server",
    "torture": "server",
    "parity": "parity",
    "toy": "train",
}
_SLOW_FIXTURES = {"exports", "triton"}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--torture", action="store_true", help="go on with the attacks of tests/torture for long")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test with its kind, by its folder; one that uses exported models is no unit test wherever it is."""
    for item in items:
        kind = _KINDS.get(item.path.relative_to(ROOT / "tests").parts[0], "unit")
        if kind == "unit" and _SLOW_FIXTURES.intersection(getattr(item, "fixturenames", ())):
            kind = "server"
        item.add_marker(kind)


@dataclass(frozen=True)
class Exported:
    """A checkpoint and the model repository made of it."""

    checkpoint: Path
    repository: Path
    """may hold other checkpoints too"""

    @property
    def model(self) -> str:
        """The id that the checkpoint is served under."""
        model: str = json.loads((self.checkpoint / "defaults.json").read_text())["id"]
        return model


def run_module(*arguments: object, timeout: float = 600) -> None:
    """Run `python -m ...` from the project's root; its output shows when it fails."""
    command = [sys.executable, "-m", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, timeout=timeout, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"


def export(checkpoint: Path, repository: Path) -> Exported:
    run_module("export", checkpoint, "--to", repository)
    return Exported(checkpoint, repository)


@pytest.fixture(autouse=True, scope="session")
def no_keys_of_the_user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The API keys of whoever runs the tests are not those of the servers that tests start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("configuration")))
        for name in ("TRITONREEL_API_KEY", "TRITONREEL_KEYS_FILE"):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(scope="session")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the session's exports go."""
    kept = os.environ.get("TRITONREEL_TEST_EXPORTS")
    if kept is None:
        return tmp_path_factory.mktemp("exports")
    folder = Path(kept).resolve()
    for pattern in ("*/model_repository/*/config.pbtxt", "*/model_repository/generate/1/*.py"):
        for copied in folder.glob(pattern):
            copied.unlink()  # an export copies them only where they are missing
    return folder


@pytest.fixture(scope="session")
def toy(exports: Path) -> Exported:
    """The trained toy checkpoint."""
    return export(ROOT / "toy" / "checkpoints" / "toy-wan-t2v", exports / "toy" / "model_repository")


@pytest.fixture(scope="session")
def tiny(exports: Path) -> Callable[[str], Exported]:
    """Random-weight checkpoints, by layout."""
    shared = exports / "families"

    @cache
    def make(layout: str) -> Exported:
        folder = exports / layout
        if not (folder / "checkpoint").exists():
            run_module("export.tiny", folder / "checkpoint", "--layout", layout, "--seed", 1)
        repository = (shared if layout in ONE_OF_EACH_FAMILY else folder) / "model_repository"
        return export(folder / "checkpoint", repository)

    return make
