"""A model that hangs while it loads ends the attempt, instead of keeping everybody waiting."""

from pathlib import Path

import pytest

from launcher import load_watch, triton_server
from launcher.errors import StartError
from launcher.ports import resolve
from launcher.settings import Ports, Settings
from launcher.shared_memory import regions
from launcher.triton_server import TritonServer
from tests.launcher.conftest import INCREMENT, write_model

SLEEPER = """
import time
class TritonPythonModel:
    def initialize(self, args):
        time.sleep(600)
"""

SLEEPER_AT_FIRST = """
import time
from pathlib import Path
class TritonPythonModel:
    def initialize(self, args):
        mark = Path(args["model_repository"]) / "was_here"
        if not mark.exists():
            mark.touch()
            time.sleep(600)
"""

BUSY = """
import time
class TritonPythonModel:
    def initialize(self, args):
        while time.process_time() < 1.5:
            pass
"""


def make_server(folder: Path, **models: str) -> TritonServer:
    repository = folder / "repository"
    for name, code in models.items():
        write_model(repository, name, code)
    settings = Settings(
        run_dir=folder / "run", model_repository=repository, ports=resolve(Ports(0, 0, 0)), with_frontend=False
    )
    return TritonServer(settings)


def test_a_model_that_hangs_is_named_and_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load_watch, "STALLED_SECONDS", 1.0)
    server = make_server(tmp_path, increment=INCREMENT, sleeper=SLEEPER)

    with pytest.raises(StartError, match="sleeper hung while loading"):
        server.start()

    assert regions(server.shm_prefix) == []


def test_a_load_that_hung_is_tried_once_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load_watch, "STALLED_SECONDS", 1.0)
    server = make_server(tmp_path, increment=INCREMENT, sleeper=SLEEPER_AT_FIRST)

    with server:
        assert server.models == ("increment", "sleeper")


def test_a_model_that_waits_for_others_to_be_loaded_does_not_hang(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load_watch, "STALLED_SECONDS", 1.0)
    monkeypatch.setattr(triton_server, "_STILL_LOADING_SECONDS", 0.1)
    monkeypatch.setattr(triton_server, "_PARALLEL_LOADS", 1)
    server = make_server(tmp_path, busy=BUSY, busy_too=BUSY, increment=INCREMENT)

    server.start()
    try:
        assert server.models == ("busy", "busy_too", "increment")
    finally:
        server.stop()
