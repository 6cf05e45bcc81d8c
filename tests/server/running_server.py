"""The whole product as a user starts it: `python -m launcher`, on free ports."""

import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import psutil

ROOT = Path(__file__).resolve().parents[2]


class RunningServer:
    """tritonserver and the frontend under the launcher; a context manager that starts and stops them."""

    def __init__(self, repository: Path, run_dir: Path, *options: str, env: dict[str, str] | None = None) -> None:
        self.port, self._grpc, self._metrics, self._http = _free_ports(4)
        self.url = f"http://127.0.0.1:{self.port}"
        self.grpc = f"127.0.0.1:{self._grpc}"
        self.run_dir = run_dir
        self._env = env
        self._command = [
            *(sys.executable, "-m", "launcher", "--model-repository", str(repository), "--run-dir", str(run_dir)),
            *("--port", str(self.port), "--grpc-port", str(self._grpc)),
            *("--metrics-port", str(self._metrics), "--http-port", str(self._http)),
            *options,
        ]
        run_dir.mkdir(parents=True, exist_ok=True)
        self.output = run_dir / "launcher.out"

    def __enter__(self) -> Self:
        with self.output.open("w") as output:
            self._process = subprocess.Popen(
                self._command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT, env=self._env
            )
        self.wait_until_healthy()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(30)
        finally:
            self._process.kill()

    def wait_until_healthy(self, seconds: float = 60) -> None:
        """Returns once /health says that requests can be served."""
        deadline = time.monotonic() + seconds
        while True:
            assert self._process.poll() is None, self.output.read_text()
            try:
                health = httpx.get(f"{self.url}/health", timeout=5)
                if health.status_code == 200:
                    return
                why = health.text
            except httpx.TransportError as error:
                why = repr(error)
            assert time.monotonic() < deadline, f"not healthy after {seconds} s: {why}\n{self.output.read_text()}"
            time.sleep(0.1)

    def post(self, timeout: float = 120, headers: dict[str, str] | None = None, **body: Any) -> httpx.Response:
        """POST /v1/videos/generations."""
        return httpx.post(f"{self.url}/v1/videos/generations", json=body, timeout=timeout, headers=headers)

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric of Triton's metrics port over what has these labels."""
        text = httpx.get(f"http://127.0.0.1:{self._metrics}/metrics").text
        lines = [line for line in text.splitlines() if re.match(rf"{name}[ {{]", line)]
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        return sum(float(line.split()[-1]) for line in lines if all(label in line for label in wanted))

    def process(self, *words: str) -> psutil.Process:
        """The descendant whose command line has all of these words."""
        for child in psutil.Process(self._process.pid).children(recursive=True):
            try:
                command = " ".join(child.cmdline())
            except psutil.NoSuchProcess:
                continue
            if command and all(word in command for word in words):
                return child
        raise AssertionError(f"no process with {words}")

    def stub(self, model: str) -> psutil.Process:
        """The process that runs a model's Python code."""
        return self.process("triton_python_backend_stub", f"{model}_0_0")

    def tritonserver(self) -> psutil.Process:
        return self.process("bin/tritonserver")


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()
