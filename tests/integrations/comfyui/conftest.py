from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI

from frontend.app import create_app
from frontend.settings import Settings
from tests.frontend.conftest import NOWHERE, logs, serving_app, storage_folder
from tests.frontend.fake_generator import FakeGenerator, of_all_kinds

__all__ = ["logs", "storage_folder"]


@pytest.fixture
def generator() -> FakeGenerator:
    return of_all_kinds("ink", "fog")


@pytest.fixture
def app(generator: FakeGenerator, tmp_path: Path) -> FastAPI:
    return create_app(Settings(triton_metrics_url=NOWHERE, keys_file=tmp_path / "none.json"), generator)


@pytest.fixture
def url(app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Of a real server of `app`, which nodes ask."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving_app(app) as url:
        monkeypatch.setenv("TRITONREEL_URL", url)
        yield url
