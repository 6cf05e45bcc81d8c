"""Exported model repositories, made once per run by the commands that a user would run; pytest's workers share them.

Where TRITONREEL_TEST_EXPORTS names a folder they stay there, and the next session exports only what has changed.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from filelock import FileLock

ROOT = Path(__file__).resolve().parent.parent
ONE_OF_EACH_FAMILY = ("two-experts", "i2v", "ti2v", "qwen-image")
"""layouts that share one repository, as they would in production"""

_KINDS = {
    "clients": "clients",
    "docker": "docker",
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


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Workers send reports as UTF-8, and tests log what cannot be that."""
    report = yield
    report.sections = [(name, text.encode(errors="backslashreplace").decode()) for name, text in report.sections]
    return report


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


@pytest.fixture(autouse=True, scope="session")
def no_keys_of_the_user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The API keys of whoever runs the tests are not those of the servers that tests start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("configuration")))
        for name in ("TRITONREEL_API_KEY", "TRITONREEL_KEYS_FILE"):
            patch.delenv(name, raising=False)
        yield


@dataclass(frozen=True)
class Exports:
    """Where a run's exports go, and what this run has done there already."""

    folder: Path
    progress: Path

    @contextmanager
    def once(self, what: str, lock: str) -> Iterator[bool]:
        """Whether `what` is still to be done; another worker that asks, or wants the same `lock`, waits until it is."""
        self.progress.mkdir(parents=True, exist_ok=True)
        with FileLock(self.progress / f"{lock}.lock"):
            done = self.progress / f"{what}.done"
            yield not done.exists()
            done.touch()

    def tiny_checkpoint(self, layout: str) -> Path:
        """With random weights."""
        checkpoint = self.folder / layout / "checkpoint"
        with self.once(f"{layout}-made", lock=layout):
            if not checkpoint.exists():
                run_module("export.tiny", checkpoint, "--layout", layout, "--seed", 1)
        return checkpoint

    def export(self, checkpoint: Path, repository: Path) -> Exported:
        with self.once(f"{checkpoint.parent.name}-exported", lock=repository.parent.name) as to_do:
            if to_do:
                run_module("export", checkpoint, "--to", repository)
        return Exported(checkpoint, repository)


@pytest.fixture(scope="session")
def exports(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Exports:
    base = tmp_path_factory.getbasetemp()
    of_all_workers = base if worker_id == "master" else base.parent
    kept = os.environ.get("TRITONREEL_TEST_EXPORTS")
    folder = of_all_workers / "exports" if kept is None else Path(kept).resolve()
    found = Exports(folder, of_all_workers / "exported")
    with found.once("cleaned", lock="cleaned") as to_do:
        for pattern in ("*/model_repository/*/config.pbtxt", "*/model_repository/generate/1/*.py") if to_do else ():
            for copied in folder.glob(pattern):
                copied.unlink()  # an export copies them only where they are missing
    return found


@pytest.fixture(scope="session")
def toy(exports: Exports) -> Exported:
    """The trained toy checkpoint."""
    return exports.export(ROOT / "toy" / "checkpoints" / "toy-wan-t2v", exports.folder / "toy" / "model_repository")


@pytest.fixture(scope="session")
def tiny(exports: Exports) -> Callable[[str], Exported]:
    """Random-weight checkpoints, by layout."""

    @cache
    def make(layout: str) -> Exported:
        shared_by = "families" if layout in ONE_OF_EACH_FAMILY else layout
        return exports.export(exports.tiny_checkpoint(layout), exports.folder / shared_by / "model_repository")

    return make
