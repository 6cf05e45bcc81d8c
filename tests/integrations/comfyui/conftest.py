from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI

from frontend.app import create_app
from frontend.settings import Settings
from protocol.lora import LoraInfo
from tests.frontend.conftest import NOWHERE, _serving, logs, storage_folder
from tests.frontend.fake_generator import FakeGenerator
from tests.model_cards import image_to_video_card, model_card, text_to_image_card

__all__ = ["logs", "storage_folder"]


@pytest.fixture
def generator() -> FakeGenerator:
    generator = FakeGenerator([model_card(), image_to_video_card(), text_to_image_card()])
    generator.adapters = [LoraInfo(name=name, rank=16, bytes=4096, models=["toy-wan-t2v"]) for name in ("ink", "fog")]
    return generator


@pytest.fixture
def app(generator: FakeGenerator, tmp_path: Path) -> FastAPI:
    return create_app(Settings(triton_metrics_url=NOWHERE, keys_file=tmp_path / "none.json"), generator)


@pytest.fixture
def url(app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Of a real server of `app`, which nodes ask."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with _serving(app) as url:
        monkeypatch.setenv("TRITONREEL_URL", url)
        yield url
