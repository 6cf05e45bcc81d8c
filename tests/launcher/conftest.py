"""Tiny Triton models, and the launcher as the subprocess that a person starts."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from tritonclient import grpc

from launcher.control_socket import ControlSocket
from launcher.ports import OPTIONS, resolve
from launcher.repository_api import RepositoryApi
from launcher.run_folder import stop_instance
from launcher.settings import Ports
from launcher.shared_memory import regions
from launcher.stub_processes import StubProcess, live_stubs
from protocol.repository import OWN_REPOSITORY, REPOSITORY_FILE, stamp

CONFIG = """
backend: "python"
max_batch_size: 0
input [ { name: "x" data_type: TYPE_FP32 dims: [ 1 ] } ]
output [ { name: "y" data_type: TYPE_FP32 dims: [ 1 ] } ]
instance_group [ { kind: KIND_CPU count: 1 } ]
"""

INCREMENT = """
import triton_python_backend_utils as pb
class TritonPythonModel:
    def execute(self, requests):
        xs = [pb.get_input_tensor_by_name(request, "x").as_numpy() for request in requests]
        return [pb.InferenceResponse([pb.Tensor("y", x + 1)]) for x in xs]
"""

BROKEN = """
class TritonPythonModel:
    def initialize(self, args):
        raise RuntimeError("the weights are missing")
"""

# one response every 0.1 s, x of them
COUNT = """
import asyncio
import numpy as np
import triton_python_backend_utils as pb
class TritonPythonModel:
    async def execute(self, requests):
        for request in requests:
            sender = request.get_response_sender()
            for i in range(int(pb.get_input_tensor_by_name(request, "x").as_numpy()[0])):
                sender.send(pb.InferenceResponse([pb.Tensor("y", np.array([i], np.float32))]))
                await asyncio.sleep(0.1)
            sender.send(flags=pb.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
"""


def write_model(repository: Path, name: str, code: str | None, decoupled: bool = False) -> None:
    """A Python model from x to y; without `code` it is one that was not exported."""
    policy = "model_transaction_policy { decoupled: true }" if decoupled else ""
    (repository / name / "1").mkdir(parents=True)
    (repository / name / "config.pbtxt").write_text(CONFIG + policy)
    if code is not None:
        (repository / name / "1" / "model.py").write_text(code)


def write_stamp(repository: Path, **changes: Any) -> None:
    """Says that this release wrote the repository, unless `changes` say otherwise."""
    current = stamp(repository, OWN_REPOSITORY, written=[])
    (repository / REPOSITORY_FILE).write_bytes(current.model_copy(update=changes).to_bytes())


@dataclass(frozen=True)
class Launched:
    """A launcher that runs, and what it started."""

    process: "subprocess.Popen[bytes]"
    ports: Ports
    run_dir: Path
    console: Path

    @property
    def output(self) -> str:
        return self.console.read_text()

    @property
    def shm_prefix(self) -> str:
        return str(json.loads((self.run_dir / "launcher.json").read_text())["shm_prefix"])

    @property
    def shm_regions(self) -> list[str]:
        return regions(self.shm_prefix)

    def descendants(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def tritonserver(self) -> psutil.Process:
        children = psutil.Process(self.process.pid).children()
        return next(child for child in children if child.name() == "tritonserver")

    def stub(self, model: str) -> StubProcess:
        (stub,) = live_stubs(self.tritonserver().pid)[model]
        return stub

    def away(self) -> dict[str, str]:
        """What the launcher says is away, and why."""
        return {away["part"]: away["reason"] for away in json.loads((self.run_dir / "status.json").read_text())["away"]}

    def wait_for(self, text: str, seconds: float = 60, times: int = 1) -> None:
        """Until the console shows `text`, so many times."""
        deadline = time.monotonic() + seconds
        while self.output.count(text) < times:
            assert self.process.poll() is None, f"the launcher ended without {text!r}:\n{self.output}"
            assert time.monotonic() < deadline, f"no {text!r} within {seconds} s:\n{self.output}"
            time.sleep(0.05)

    def wait_for_exit(self, seconds: float = 60) -> int:
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            pytest.fail(f"still running after {seconds} s:\n{self.output}")

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.wait_for_exit()

    def increment(self, x: float, model: str = "increment") -> float:
        """One request to a loaded model; raises InferenceServerException when it fails."""
        tensor = grpc.InferInput("x", [1], "FP32")
        tensor.set_data_from_numpy(np.array([x], np.float32))
        with grpc.InferenceServerClient(f"127.0.0.1:{self.ports.grpc}") as client:
            return float(client.infer(model, [tensor], client_timeout=10).as_numpy("y")[0])

    @property
    def socket(self) -> Path:
        """Of Triton's HTTP service."""
        state = json.loads((self.run_dir / "launcher.json").read_text())
        return ControlSocket(state["shm_prefix"], Path(state["socket_parent"])).path

    def control(self) -> RepositoryApi:
        """Triton's own interface, as the launcher uses it."""
        return RepositoryApi(self.socket)


@contextmanager
def launched(
    repository: Path, folder: Path, *options: str, ports: Ports | None = None, env: dict[str, str] | None = None
) -> Iterator[Launched]:
    """`python -m launcher OPTIONS` on free ports, unless `ports`; killed at the end if it still runs."""
    ports = ports or resolve(Ports(0, 0, 0))
    folder.mkdir(exist_ok=True)
    console, run_dir = folder / "console", folder / "run"
    command = [sys.executable, "-m", "launcher", "--model-repository", str(repository), "--run-dir", str(run_dir)]
    for option, port in zip(OPTIONS.values(), astuple(ports), strict=True):
        command += [option, str(port)]
    with console.open("wb") as output:
        process = subprocess.Popen(
            [*command, *options],
            env=os.environ | (env or {}),
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield Launched(process, ports, run_dir, console)
    finally:
        # faster than stopping in order, and what a later start would do
        process.kill()
        process.wait()
        stop_instance(run_dir)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """One model, `increment`."""
    folder = tmp_path / "models"
    write_model(folder, "increment", INCREMENT)
    return folder


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Callable[..., Launched]]:
    """`launched`, in the test's folder; each call with a different `name` is another instance."""
    with ExitStack() as stack:

        def start(
            repository: Path,
            *options: str,
            name: str = "instance",
            ports: Ports | None = None,
            env: dict[str, str] | None = None,
        ) -> Launched:
            return stack.enter_context(launched(repository, tmp_path / name, *options, ports=ports, env=env))

        yield start
