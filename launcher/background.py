"""The whole server as a child process on free ports, for programs that need one for a while: benchmarks and tests."""

import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx
import psutil

from launcher.child_environment import without_secrets
from launcher.ports import resolve
from launcher.settings import PROJECT_ROOT, Ports


class BackgroundServer:
    """`python -m launcher`, as a user starts it. A context manager: started and healthy, then stopped.

    Args:
        repository: the model repository to serve.
        run_dir: its logs; also its console output, as `launcher.out`.
        options: more options of the command line.
    """

    def __init__(self, repository: Path, run_dir: Path, *options: str) -> None:
        ports = resolve(Ports(0, 0, 0))
        self.url = f"http://127.0.0.1:{ports.frontend}"
        self.grpc = f"127.0.0.1:{ports.grpc}"
        self._metrics = f"http://127.0.0.1:{ports.metrics}/metrics"
        self.run_dir = run_dir
        self._command = [
            *(sys.executable, "-m", "launcher", "--model-repository", str(repository), "--run-dir", str(run_dir)),
            *("--port", str(ports.frontend), "--grpc-port", str(ports.grpc)),
            *("--metrics-port", str(ports.metrics)),
            *("--keys-file", str(run_dir / "keys.json")),  # not the user's: its clients have no key
            *options,
        ]
        self._environment = without_secrets()
        self._output = run_dir / "launcher.out"

    def __enter__(self) -> Self:
        self.run_dir.mkdir(parents=True, exist_ok=True)
        with self._output.open("w") as output:
            self._process = subprocess.Popen(
                self._command, env=self._environment, cwd=PROJECT_ROOT, stdout=output, stderr=subprocess.STDOUT
            )
        try:
            self.wait_until_healthy()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def wait_until_healthy(self, seconds: float = 240) -> None:
        """Returns once /health says that requests can be served; raises RuntimeError with the output otherwise."""
        deadline = time.monotonic() + seconds
        while not self._is_healthy():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the server is not healthy:\n{self._output.read_text()}")
            time.sleep(0.1)

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric of Triton's metrics port over everything that has these labels."""
        text = httpx.get(self._metrics).text
        lines = [line for line in text.splitlines() if re.match(rf"{name}[ {{]", line)]
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        return sum(float(line.split()[-1]) for line in lines if all(label in line for label in wanted))

    def processes(self) -> list[psutil.Process]:
        """The launcher and all that it started."""
        launcher = psutil.Process(self._process.pid)
        return [launcher, *launcher.children(recursive=True)]

    def _is_healthy(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health", timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    def _stop(self) -> None:
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(30)
        finally:
            self._process.kill()
