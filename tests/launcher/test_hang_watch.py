"""Stopped and silent processes are said to be away, killed and replaced; busy ones are left alone."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest
from tritonclient import grpc

from launcher import hang_watch
from launcher.hang_watch import HangWatch
from launcher.ports import resolve
from launcher.settings import Ports, Settings
from launcher.status_file import StatusFile
from launcher.stub_processes import StubProcess, live_stubs
from launcher.triton_server import TritonServer
from tests.launcher.conftest import INCREMENT, Launched, write_model
from tests.waiting import wait_until

# For x seconds, execute keeps Python from running (x < 0), or lets it run (x > 0), as native code may.
NATIVE = """
import ctypes
import triton_python_backend_utils as pb
from protocol.heartbeat import Heartbeat
class TritonPythonModel:
    def initialize(self, args):
        self.heartbeat = Heartbeat()
        self.heartbeat.start()
    def execute(self, requests):
        x = pb.get_input_tensor_by_name(requests[0], "x").as_numpy()
        library = ctypes.CDLL(None) if x[0] > 0 else ctypes.PyDLL(None)
        library.usleep(int(1e6 * abs(x[0])))
        return [pb.InferenceResponse([pb.Tensor("y", x)])]
"""


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TritonServer]:
    """A watched server of the model `native`, watched with little patience and supervised by nobody."""
    monkeypatch.setattr(hang_watch, "_SILENT_SECONDS", 2.5)
    monkeypatch.setattr(hang_watch, "_HUNG_SECONDS", 3.5)
    repository = tmp_path / "repository"
    write_model(repository, "native", NATIVE)
    settings = Settings(
        run_dir=tmp_path / "run", model_repository=repository, ports=resolve(Ports(0, 0, 0)), with_frontend=False
    )
    server = TritonServer(settings)
    with HangWatch(server, None, StatusFile(tmp_path / "status.json")), server:
        yield server


def only_stub(server: TritonServer) -> StubProcess:
    (stub,) = live_stubs(server.pid)["native"]
    return stub


def infer(server: TritonServer, x: float) -> None:
    tensor = grpc.InferInput("x", [1], "FP32")
    tensor.set_data_from_numpy(np.array([x], np.float32))
    with grpc.InferenceServerClient(f"127.0.0.1:{server.ports.grpc}") as client:
        client.infer("native", [tensor])


def test_a_model_that_computes_for_long_is_left_alone(server: TritonServer, tmp_path: Path) -> None:
    stub = only_stub(server)
    infer(server, 6.0)
    assert only_stub(server) == stub
    assert '"away": []' in (tmp_path / "status.json").read_text()


def test_a_model_whose_python_stands_still_is_said_and_killed(server: TritonServer, tmp_path: Path) -> None:
    stub = only_stub(server)
    time.sleep(1.5)  # it has beaten once
    with ThreadPoolExecutor(1) as executor:
        call = executor.submit(infer, server, -60.0)
        wait_until(lambda: "no sign of life" in (tmp_path / "status.json").read_text(), 20, "said")
        wait_until(lambda: not stub.alive, 20, "killed")
        server.reload(["native"])
        assert call.exception() is not None
    infer(server, 0.1)


@pytest.mark.parametrize("name", ["model increment", "tritonserver"])
def test_a_stopped_process_is_replaced(launch: Callable[..., Launched], repository: Path, name: str) -> None:
    launched = launch(repository, "--no-frontend")
    launched.wait_for("ready in")
    process = launched.tritonserver() if name == "tritonserver" else launched.stub("increment").process
    process.suspend()

    launched.wait_for(f"the process of {name} is stopped; killing it")
    launched.wait_for(f"{name} is back")
    assert launched.increment(1) == 2
    assert all(process.status() != psutil.STATUS_STOPPED for process in launched.descendants())


def test_a_process_that_is_stopped_and_goes_on_at_once_is_left_alone(
    launch: Callable[..., Launched], repository: Path
) -> None:
    write_model(repository, "other", INCREMENT)
    launched = launch(repository, "--no-frontend")
    launched.wait_for("ready in")
    server = launched.tritonserver()
    for _ in range(4):
        server.suspend()
        time.sleep(0.6)
        server.resume()
        time.sleep(0.6)
    assert launched.increment(1) == 2
    assert launched.tritonserver() == server


def test_a_process_that_is_stopped_while_it_loads_is_replaced(
    launch: Callable[..., Launched], repository: Path
) -> None:
    launched = launch(repository, "--no-frontend")
    launched.wait_for("ready in")
    first = launched.stub("increment").process
    code = repository / "increment" / "1" / "model.py"
    code.write_text("import time\ntime.sleep(3)\n" + INCREMENT)
    first.kill()
    loading = only_other_stub(launched, first)
    code.write_text(INCREMENT)
    loading.suspend()

    launched.wait_for("model increment is back", seconds=90)
    assert launched.increment(1) == 2


def only_other_stub(launched: Launched, first: psutil.Process) -> psutil.Process:
    """The process of `increment` that was started after `first`."""
    found: list[StubProcess] = []

    def started() -> bool:
        stubs = live_stubs(launched.tritonserver().pid).get("increment", [])
        found[:] = [stub for stub in stubs if stub.process != first]
        return bool(found)

    wait_until(started, 20, "the process that loads")
    return found[0].process
