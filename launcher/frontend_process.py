"""The HTTP frontend as a child process."""

import logging
import os
import signal
import sys
import time
from pathlib import Path

import httpx

from launcher.child_process import ChildProcess
from launcher.errors import StartError
from launcher.settings import Settings
from launcher.stop_signal import StopSignal

logger = logging.getLogger(__name__)

_START_SECONDS = 60.0
_SHUTDOWN_SECONDS = 3  # open requests may finish for so long
_STOP_GRACE_SECONDS = 6.0


class FrontendProcess:
    """`python -m frontend`, told by environment variables where Triton is."""

    def __init__(self, settings: Settings, stop_signal: StopSignal) -> None:
        self._settings = settings
        self._stop_signal = stop_signal
        self._process = ChildProcess(settings.logs / "frontend.log")

    @property
    def url(self) -> str:
        host = self._settings.host
        reachable = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
        return f"http://{reachable}:{self._settings.ports.frontend}"

    @property
    def log(self) -> Path:
        return self._process.log

    def start(self) -> None:
        """Returns when `GET /health` answers 200. Raises StartError, with nothing left running."""
        command = [sys.executable, "-m", "frontend"]
        self._process.start(command, os.environ | self._environment())
        try:
            self._wait_until_healthy()
        except BaseException:
            self._process.kill()
            raise

    def stop(self) -> None:
        self._process.stop(signal.SIGTERM, _STOP_GRACE_SECONDS)

    def rotate_log(self) -> None:
        """Call it now and then."""
        self._process.rotate_log()

    def death(self) -> str | None:
        """Why the frontend must be started again, or None."""
        return None if self._process.running else f"the frontend {self._process.exit_reason()}"

    def _environment(self) -> dict[str, str]:
        ports = self._settings.ports
        keys_file = self._settings.keys_file
        return {
            "TRITONREEL_TRITON_URL": f"127.0.0.1:{ports.grpc}",
            "TRITONREEL_TRITON_METRICS_URL": f"http://127.0.0.1:{ports.metrics}/metrics",
            "TRITONREEL_HOST": self._settings.host,
            "TRITONREEL_PORT": str(ports.frontend),
            "TRITONREEL_ALLOWED_HOSTS": " ".join(self._settings.allowed_hosts),
            "TRITONREEL_ALLOWED_ORIGINS": " ".join(self._settings.allowed_origins),
            "TRITONREEL_NO_AUTH": str(self._settings.no_auth).lower(),
            **({"TRITONREEL_KEYS_FILE": str(keys_file.absolute())} if keys_file else {}),
            "TRITONREEL_LOG_LEVEL": self._settings.log_level,
            "TRITONREEL_SHUTDOWN_TIMEOUT_SECONDS": str(_SHUTDOWN_SECONDS),
        }

    def _wait_until_healthy(self) -> None:
        began = time.monotonic()
        health = "no answer"
        with httpx.Client(trust_env=False, timeout=5.0) as client:
            while True:
                if not self._process.running:
                    raise self._start_error(f"The frontend {self._process.exit_reason()} while starting.")
                try:
                    response = client.get(f"{self.url}/health")
                    if response.status_code == 200:
                        break
                    health = f"status {response.status_code}: {response.text}"
                except httpx.TransportError as error:
                    health = str(error)
                if time.monotonic() - began > _START_SECONDS:
                    raise self._start_error(f"The frontend was not healthy after {_START_SECONDS:.0f} s ({health}).")
                self._stop_signal.sleep(0.1)
        logger.info("frontend is up (pid %d, %.1f s)", self._process.pid, time.monotonic() - began)

    def _start_error(self, message: str) -> StartError:
        return StartError(f"{message}\nIts last lines:\n{self._process.last_lines()}", self.log)
