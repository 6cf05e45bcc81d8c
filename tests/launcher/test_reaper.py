"""A launcher that is killed leaves nothing behind."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest
from tritonclient import grpc

from launcher.shared_memory import regions
from tests.launcher.conftest import Launched, write_model
from tests.waiting import wait_until

Launch = Callable[..., Launched]

# It neither lets another thread of its process run nor looks whether anybody still waits.
BUSY = """
import ctypes
from pathlib import Path
class TritonPythonModel:
    def execute(self, requests):
        Path({mark!r}).touch()
        ctypes.PyDLL(None).sleep(600)
"""


def reaper_of(launched: Launched) -> psutil.Process:
    (reaper,) = [
        child for child in launched.descendants() if any("launcher.reaper" in word for word in child.cmdline())
    ]
    return reaper


@pytest.mark.parametrize("whom", ["the launcher", "its process group"])
def test_a_killed_launcher_takes_along_a_model_that_computes(
    launch: Launch, repository: Path, tmp_path: Path, whom: str
) -> None:
    mark = tmp_path / "computes"
    write_model(repository, "busy", BUSY.format(mark=str(mark)))
    launched = launch(repository, "--no-frontend")
    launched.wait_for("ready in")
    tensor = grpc.InferInput("x", [1], "FP32")
    tensor.set_data_from_numpy(np.zeros(1, np.float32))
    with grpc.InferenceServerClient(f"127.0.0.1:{launched.ports.grpc}") as client:
        client.async_infer("busy", [tensor], lambda result, error: None)
        wait_until(mark.exists, 10, "the model computes")
    prefix, folder, descendants = launched.shm_prefix, launched.socket.parent, launched.descendants()
    assert len(regions(prefix)) == 2
    assert folder.exists()

    if whom == "the launcher":
        launched.process.kill()
    else:
        os.killpg(launched.process.pid, signal.SIGKILL)

    _, alive = psutil.wait_procs(descendants, timeout=10)
    assert alive == []
    assert regions(prefix) == []
    assert not folder.exists()


def test_a_killed_reaper_is_replaced(launch: Launch, repository: Path) -> None:
    launched = launch(repository, "--no-frontend")
    launched.wait_for("ready in")
    prefix, before = launched.shm_prefix, reaper_of(launched)
    before.kill()
    launched.wait_for("the process that would clean up after this launcher ended; it was started again")
    wait_until(lambda: not before.is_running(), 10, "the old one is reaped")
    descendants = launched.descendants()
    assert reaper_of(launched).pid != before.pid

    launched.process.kill()

    _, alive = psutil.wait_procs(descendants, timeout=10)
    assert alive == []
    assert regions(prefix) == []
