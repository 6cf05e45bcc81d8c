"""The product under test: the launcher with tritonserver and the frontend, on free ports."""

import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from benchmarks.errors import ServerFailed
from launcher.ports import resolve
from launcher.settings import PROJECT_ROOT, Ports

_START_SECONDS = 120.0
_STOP_SECONDS = 30.0


class Server:
    """A context manager that starts and stops it.

    Args:
        run_dir: takes its logs.
    """

    def __init__(self, model_repository: Path, run_dir: Path) -> None:
        self._repository = model_repository
        self._run_dir = run_dir
        self.log = run_dir / "launcher.log"

    @property
    def pid(self) -> int:
        """Of the launcher; all others are its descendants."""
        return self._process.pid

    def __enter__(self) -> Self:
        ports = resolve(Ports(0, 0, 0, 0))
        self.url = f"http://127.0.0.1:{ports.frontend}"
        self.grpc = f"127.0.0.1:{ports.grpc}"
        self.metrics_url = f"http://127.0.0.1:{ports.metrics}/metrics"
        command = [sys.executable, "-m", "launcher", "--model-repository", self._repository.resolve()]
        command += ["--run-dir", self._run_dir.resolve(), "--port", ports.frontend, "--grpc-port", ports.grpc]
        command += ["--metrics-port", ports.metrics, "--http-port", ports.http]
        self._run_dir.mkdir(parents=True, exist_ok=True)
        with self.log.open("w") as log:
            self._process = subprocess.Popen(
                list(map(str, command)), cwd=PROJECT_ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        try:
            self._wait_until_healthy()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _wait_until_healthy(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        with httpx.Client(trust_env=False, timeout=5) as client:
            while True:
                if self._process.poll() is not None:
                    raise ServerFailed(f"The server ended while it started:\n{self.log.read_text().strip()}")
                try:
                    if client.get(f"{self.url}/health").status_code == httpx.codes.OK:
                        return
                except httpx.TransportError:
                    pass
                if time.monotonic() > deadline:
                    raise ServerFailed(f"The server was not ready after {_START_SECONDS:.0f} s; see {self.log}")
                time.sleep(0.1)
