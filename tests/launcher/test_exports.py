"""Checkpoints that the launcher has exported while it serves: what it says of them, and what it does without any."""

from collections.abc import Callable
from pathlib import Path

import httpx

from tests.conftest import Exported
from tests.launcher.conftest import Launched
from tests.waiting import wait_until

Launch = Callable[..., Launched]


def get(launched: Launched, path: str) -> httpx.Response:
    return httpx.get(f"http://127.0.0.1:{launched.ports.frontend}{path}", trust_env=False)


def test_a_server_without_any_model_starts_and_says_why_it_has_none(launch: Launch, tmp_path: Path) -> None:
    launched = launch(tmp_path / "repository", "--export", str(tmp_path / "nowhere"))
    launched.wait_for("the server is up", seconds=120)
    launched.wait_for(f"the export of nowhere failed: {tmp_path / 'nowhere'} is not a folder", seconds=120)

    health = get(launched, "/health")
    assert health.status_code == 503
    assert f"nowhere cannot be served: {tmp_path / 'nowhere'} is not a folder" in health.json()["reason"]
    models = get(launched, "/v1/models").json()
    assert (models["data"], [one["id"] for one in models["coming"]]) == ([], ["nowhere"])
    assert get(launched, "/health/live").status_code == 200
    assert launched.stop() == 0


def test_what_is_there_is_served_and_not_exported_again(launch: Launch, toy: Exported, tmp_path: Path) -> None:
    card = toy.repository / "generate" / "1" / "wan_t2v" / "card.json"
    before = card.stat().st_mtime_ns
    options = ("--export", str(toy.checkpoint), "--export", str(tmp_path / "nowhere"))
    launched = launch(toy.repository, *options)
    launched.wait_for("ready in", seconds=120)
    launched.wait_for("the export of nowhere failed", seconds=120)
    wait_until(lambda: "nowhere cannot be served" in get(launched, "/health").json().get("note", ""), 10, "a note")
    assert get(launched, "/health").status_code == 200
    assert [model["id"] for model in get(launched, "/v1/models").json()["data"]] == ["toy-wan-t2v"]
    assert card.stat().st_mtime_ns == before
    assert launched.stop() == 0


def test_an_export_that_the_server_stops_has_not_failed(launch: Launch, toy: Exported, tmp_path: Path) -> None:
    launched = launch(tmp_path / "repository", "--export", str(toy.checkpoint))
    launched.wait_for("exporting toy-wan-t2v", seconds=120)
    assert launched.stop() == 0
    assert "failed" not in launched.output
