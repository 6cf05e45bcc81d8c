"""Servers of the trained toy checkpoint, and of tiny ones of every family."""

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ONE_OF_EACH_FAMILY, Exported

from .running_server import RunningServer


@pytest.fixture(scope="session")
def server(toy: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server that tests share; those that break things bring their own."""
    with RunningServer(toy.repository, tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture(scope="session")
def families(tiny: Callable[[str], Exported]) -> dict[str, Exported]:
    """A checkpoint of each family by its id, all in one repository."""
    return {exported.model: exported for exported in map(tiny, ONE_OF_EACH_FAMILY)}


@pytest.fixture(scope="session")
def families_server(families: dict[str, Exported], tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server of all of them."""
    repository = next(iter(families.values())).repository
    with RunningServer(repository, tmp_path_factory.mktemp("families")) as running:
        yield running


@pytest.fixture(scope="module")
def fragile_server(toy: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server whose processes may be killed."""
    with RunningServer(toy.repository, tmp_path_factory.mktemp("fragile"), "--restart-limit", "100") as running:
        yield running


@pytest.fixture(scope="module")
def small_server(toy: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server that runs one job at a time, lets two wait, and gives each two seconds."""
    folder = tmp_path_factory.mktemp("small")
    repository = folder / "model_repository"
    shutil.copytree(toy.repository, repository)
    _set_parameters(repository / "generate" / "config.pbtxt", max_running_jobs=1, max_waiting_jobs=2)
    with RunningServer(repository, folder / "run") as running:
        yield running


def _set_parameters(config: Path, **values: int) -> None:
    text = config.read_text()
    for key, value in values.items():
        text, count = re.subn(rf'(key: "{key}" value: {{ string_value: )"\d+"', rf'\g<1>"{value}"', text)
        assert count == 1
    config.write_text(text)
