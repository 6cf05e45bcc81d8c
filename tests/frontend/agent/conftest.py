from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI

from frontend.app import create_app
from frontend.providers.registry import Registry
from frontend.settings import Settings
from tests.frontend.conftest import NOWHERE, Serve
from tests.frontend.fake_generator import FakeGenerator
from tests.model_cards import image_to_video_card, model_card


@pytest.fixture(autouse=True)
def no_key_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRITONREEL_API_KEY", raising=False)


@pytest.fixture
def generator() -> FakeGenerator:
    return FakeGenerator([model_card(), image_to_video_card()])


@pytest.fixture
def app(generator: FakeGenerator, tmp_path: Path) -> FastAPI:
    """Without any provider."""
    return create_app(Settings(triton_metrics_url=NOWHERE, keys_file=tmp_path / "none.json"), generator, Registry({}))


@pytest.fixture
def url(app: FastAPI, serve: Serve) -> Iterator[str]:
    """Of a real server of `app`."""
    with serve(app) as url:
        yield url
