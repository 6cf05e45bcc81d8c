import json
import logging
from pathlib import Path

import pytest

from frontend.launcher_status import LauncherStatus
from launcher.status_file import StatusFile


def away(file: Path) -> dict[str, tuple[str, bool]]:
    return {one["part"]: (one["reason"], one["keeps_dying"]) for one in json.loads(file.read_text())["away"]}


def test_says_what_is_seen_and_what_is_scheduled(tmp_path: Path) -> None:
    status = StatusFile(tmp_path / "status.json")
    status.observe({"model a": "it has no process", "model b": "its process is stopped"})
    status.schedule("model a", "it keeps dying", keeps_dying=True)
    assert away(status.file) == {"model a": ("it keeps dying", True), "model b": ("its process is stopped", False)}

    status.back("model a")
    assert away(status.file) == {"model a": ("it has no process", False), "model b": ("its process is stopped", False)}

    status.observe({})
    assert away(status.file) == {}


def test_says_which_models_come_and_go(tmp_path: Path) -> None:
    status = StatusFile(tmp_path / "status.json")
    status.observe({}, {"wan_vae", "wan_text_encoder"})
    assert LauncherStatus(status.file).swapped() == ["wan_text_encoder", "wan_vae"]
    assert LauncherStatus(status.file).away() == []


def test_is_touched_while_nothing_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("launcher.status_file._TOUCH_SECONDS", 0.0)
    status = StatusFile(tmp_path / "status.json")
    status.observe({})
    before = status.file.stat()
    status.observe({})
    after = status.file.stat()
    assert after.st_ino == before.st_ino
    assert after.st_mtime_ns > before.st_mtime_ns


def test_a_folder_that_cannot_be_written_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    status = StatusFile(folder / "status.json")
    status.observe({})
    (folder / "status.json").unlink()
    folder.rmdir()
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            status.observe({"model a": "it has no process"})
    assert len(caplog.records) == 1

    folder.mkdir()
    status.observe({"model a": "it has no process"})
    assert away(status.file) == {"model a": ("it has no process", False)}
