import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from launcher.control_socket import ControlSocket
from launcher.errors import SetupError
from launcher.run_folder import RunFolder, stop_instance
from launcher.shared_memory import SHM, new_prefix, regions

KILLED_LAUNCHER = """
import os, signal, sys
from pathlib import Path
from launcher.run_folder import RunFolder
folder = RunFolder(Path(sys.argv[1]))
folder.__enter__()
folder.record(sys.argv[2], Path(sys.argv[3]))
os.kill(os.getpid(), signal.SIGKILL)
"""


@contextmanager
def sleeping(name: str, *arguments: str) -> Iterator[psutil.Process]:
    """A process that only sleeps, under the command line `name` `arguments`."""
    code = "import time; time.sleep(60)"
    process = subprocess.Popen([name, "-c", code, *arguments], executable=sys.executable)
    try:
        yield psutil.Process(process.pid)
    finally:
        process.kill()
        process.wait()


def test_held_by_one_at_a_time(tmp_path: Path) -> None:
    with RunFolder(tmp_path / "run") as first:
        first.record(new_prefix(), tmp_path)
        with pytest.raises(SetupError, match=rf"already runs in .* \(pid {os.getpid()}\)"), RunFolder(tmp_path / "run"):
            pass
    with RunFolder(tmp_path / "run"):
        pass


def test_leftovers_of_a_killed_launcher_are_removed_and_nothing_else(tmp_path: Path) -> None:
    prefix = new_prefix()
    command = [sys.executable, "-c", KILLED_LAUNCHER, str(tmp_path), prefix, str(tmp_path)]
    assert subprocess.run(command, check=False, timeout=30).returncode == -signal.SIGKILL
    (SHM / f"{prefix}region").touch()
    control = ControlSocket(prefix, tmp_path)
    control.make()
    control.path.touch()
    option = f"--backend-config=python,shm-region-prefix-name={prefix}"
    other_option = f"--backend-config=python,shm-region-prefix-name={new_prefix()}"
    with (
        sleeping("tritonserver", option) as orphan,
        sleeping("tritonserver", other_option) as other_server,
        sleeping("editor", option) as bystander,
    ):
        assert not stop_instance(tmp_path)
        assert regions(prefix) == []
        assert not control.path.parent.exists()
        assert not orphan.is_running()
        assert other_server.is_running()
        assert bystander.is_running()


@pytest.mark.parametrize(
    "state", ["", "{}", *(f'{{"pid": 1, "started": 0, "shm_prefix": "{prefix}"}}' for prefix in ("", "tritonreel_"))]
)
def test_damaged_state_kills_nothing(tmp_path: Path, state: str) -> None:
    (tmp_path / "lock").touch()
    (tmp_path / "launcher.json").write_text(state)
    with sleeping("tritonserver", "tritonreel_1") as bystander:
        assert not stop_instance(tmp_path)
        assert bystander.is_running()


def test_nothing_to_stop(tmp_path: Path) -> None:
    assert not stop_instance(tmp_path)
