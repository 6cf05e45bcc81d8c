"""A model that hangs while it loads ends the attempt, instead of keeping everybody waiting."""

from pathlib import Path

import pytest

from launcher import load_watch
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


def test_a_model_that_hangs_is_named_and_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load_watch, "STALLED_SECONDS", 1.0)
    repository = tmp_path / "repository"
    write_model(repository, "increment", INCREMENT)
    write_model(repository, "sleeper", SLEEPER)
    settings = Settings(
        run_dir=tmp_path / "run", model_repository=repository, ports=resolve(Ports(0, 0, 0)), with_frontend=False
    )
    server = TritonServer(settings)

    with pytest.raises(StartError, match="sleeper hung while loading"):
        server.start()

    assert regions(server.shm_prefix) == []
