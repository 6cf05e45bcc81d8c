import json
import os
import time
from pathlib import Path

import httpx
import pytest

from frontend.app import create_app
from frontend.errors import EngineUnavailable
from frontend.launcher_status import LauncherStatus
from frontend.settings import Settings
from tests.frontend.fake_generator import FakeGenerator


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "status.json"


def write(file: Path, *away: tuple[str, str, bool]) -> None:
    parts = [{"part": part, "reason": reason, "keeps_dying": keeps_dying} for part, reason, keeps_dying in away]
    file.write_text(json.dumps({"away": parts}))


def test_without_a_launcher_nothing_is_known_to_be_away() -> None:
    status = LauncherStatus(None)
    assert (status.away(), status.lost(["wan_vae"]), status.note()) == ([], None, None)


@pytest.mark.parametrize("text", [None, "", "{", '{"away": 3}'])
def test_a_file_that_cannot_be_read_says_nothing(file: Path, text: str | None) -> None:
    if text is not None:
        file.write_text(text)
    status = LauncherStatus(file)
    assert (status.away(), status.lost(["wan_vae"]), status.note()) == ([], None, None)


def test_a_job_is_lost_when_what_it_needs_keeps_dying(file: Path) -> None:
    status = LauncherStatus(file)
    write(file, ("model wan_vae", "it keeps dying", True), ("model other", "it has no process", False))
    assert status.lost(["wan_vae", "other"]) == "model wan_vae: it keeps dying"
    assert status.lost(["other"]) is None
    write(file, ("tritonserver", "it keeps dying", True))
    assert status.lost([]) == "tritonserver: it keeps dying"


def test_the_frontend_itself_is_not_among_what_is_away(file: Path) -> None:
    write(file, ("the frontend", "its process is stopped", False))
    assert LauncherStatus(file).away() == []


async def test_health_mentions_a_launcher_that_has_stopped(file: Path) -> None:
    write(file)
    long_ago = time.time() - 60
    os.utime(file, (long_ago, long_ago))
    app = create_app(Settings(launcher_status=file), FakeGenerator())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as client:
        answer = await client.get("/health")
        assert answer.status_code == 200
        assert "what dies now is not brought back" in answer.json()["note"]
        assert (await client.get("/health/live")).json() == {"status": "ok"}


async def test_health_and_models_say_what_is_to_come(file: Path) -> None:
    coming = {"model": "later", "stage": "transformer: tracing", "tasks": ["text-to-video"], "state": "exporting"}
    file.write_text(json.dumps({"away": [], "coming": [coming, coming | {"model": "never", "state": "failed"}]}))
    generator = FakeGenerator()
    app = create_app(Settings(launcher_status=file), generator)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as client:
        answer = await client.get("/health")
        assert answer.status_code == 200
        assert answer.json()["note"] == (
            "exporting later (transformer: tracing); never cannot be served: transformer: tracing"
        )
        models = (await client.get("/v1/models")).json()
        assert [model["id"] for model in models["data"]] == ["toy-wan-t2v"]
        assert models["coming"] == [
            {"id": "later", "status": "exporting", "stage": "transformer: tracing"},
            {"id": "never", "status": "failed", "stage": "transformer: tracing"},
        ]
        refused = await client.post("/v1/videos/generations", json={"prompt": "a circle", "model": "later"})
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "model_not_ready")
        assert "Retry-After" in refused.headers


async def test_before_the_first_model_health_says_what_is_being_exported(file: Path) -> None:
    file.write_text(json.dumps({"away": [], "coming": [{"model": "first", "stage": "transformer: tracing"}]}))
    generator = FakeGenerator()
    generator.describe_error = EngineUnavailable("no model is loaded")
    app = create_app(Settings(launcher_status=file), generator)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as client:
        answer = await client.get("/health")
        assert answer.status_code == 503
        assert answer.json()["reason"] == "exporting first (transformer: tracing); no model is loaded"
        assert (await client.get("/v1/models")).json()["data"] == []
