import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from typer.testing import CliRunner, Result

from cli.__main__ import app as command
from frontend.app import create_app
from frontend.settings import Settings
from tests.frontend.conftest import NOWHERE, logs, serving_app, storage_folder
from tests.frontend.fake_generator import FakeGenerator, of_all_kinds

__all__ = ["logs", "storage_folder"]

Run = Callable[..., Result]


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def generator() -> FakeGenerator:
    return of_all_kinds("ink")


@pytest.fixture
def app(generator: FakeGenerator, tmp_path: Path) -> FastAPI:
    return create_app(Settings(triton_metrics_url=NOWHERE, keys_file=tmp_path / "none.json"), generator)


@pytest.fixture
def url(app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Of a real server of `app`, which commands ask."""
    with serving_app(app) as url:
        monkeypatch.setenv("TRITONREEL_URL", url)
        yield url


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The one that commands run in."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def run(folder: Path) -> Run:
    """`tritonreel`, in this process; what it prints is no terminal's."""

    def invoke(*arguments: str | os.PathLike[str]) -> Result:
        return CliRunner().invoke(command, [str(argument) for argument in arguments])

    return invoke
