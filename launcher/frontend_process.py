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
from launcher.ports import reachable
from launcher.settings import Settings
from launcher.stop_signal import StopSignal

logger = logging.getLogger(__name__)

_START_SECONDS = 60.0
_SHUTDOWN_SECONDS = 3  # open requests may finish for so long
_STOP_GRACE_SECONDS = 6.0
_ANSWER_SECONDS = 2.0


class FrontendProcess:
    """`python -m frontend`, told by environment variables where Triton is."""

    def __init__(self, settings: Settings, stop_signal: StopSignal) -> None:
        self._settings = settings
        self._stop_signal = stop_signal
        self._process = ChildProcess(settings.logs / "frontend.log")
        self._began = 0.0
        # One connection stays open, so that no crowd of clients can keep the question out.
        self._client = httpx.Client(base_url=self.url, trust_env=False, timeout=_ANSWER_SECONDS)

    @property
    def url(self) -> str:
        return f"http://{reachable(self._settings.host)}:{self._settings.ports.frontend}"

    @property
    def log(self) -> Path:
        return self._process.log

    @property
    def running_pid(self) -> int | None:
        return self._process.running_pid

    def start(self) -> None:
        """Returns when it answers, with whatever. Raises StartError, with nothing left running."""
        self.begin()
        self.wait_until_up()

    def begin(self) -> None:
        """Start it without waiting. Raises StartError where there is no process."""
        self._began = time.monotonic()
        self._process.start([sys.executable, "-m", "frontend"], os.environ | self._environment())

    def wait_until_up(self) -> None:
        """Returns when it answers, with whatever. Raises StartError, with nothing left running."""
        began = self._began
        try:
            self._wait("/health/live", "did not answer", began)
        except BaseException:
            self._process.kill()
            raise
        logger.info("frontend is up (pid %d, %.1f s)", self._process.pid, time.monotonic() - began)

    def wait_until_ready(self) -> None:
        """Returns when `GET /health` says that jobs would run. Raises StartError with what it says instead."""
        self._wait("/health", "was not healthy", time.monotonic())

    def is_ready(self) -> bool:
        """Whether `GET /health` says that jobs would run."""
        try:
            return self._client.get("/health").status_code == 200
        except httpx.TransportError:
            return False

    def answers(self) -> bool:
        """Whether it gives a sign of life, which any answer is, also that there are too many connections."""
        try:
            self._client.get("/health/live")
        except (httpx.ConnectError, httpx.TimeoutException):
            return False
        except httpx.TransportError:
            pass  # it closed the connection
        return True

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
        triton = reachable(self._settings.triton_host)
        keys_file = self._settings.keys_file
        return {
            "TRITONREEL_TRITON_URL": ",".join((f"{triton}:{ports.grpc}", *self._settings.other_tritons)),
            "TRITONREEL_TRITON_METRICS_URL": f"http://{triton}:{ports.metrics}/metrics",
            "TRITONREEL_HOST": self._settings.host,
            "TRITONREEL_PORT": str(ports.frontend),
            "TRITONREEL_ALLOWED_HOSTS": " ".join(self._settings.allowed_hosts),
            "TRITONREEL_ALLOWED_ORIGINS": " ".join(self._settings.allowed_origins),
            "TRITONREEL_NO_AUTH": str(self._settings.no_auth).lower(),
            **({"TRITONREEL_KEYS_FILE": str(keys_file.absolute())} if keys_file else {}),
            "TRITONREEL_STORAGE": self._settings.storage_location,
            "TRITONREEL_SPOOL": str(self._settings.spool.resolve()),
            "TRITONREEL_JOBS": self._settings.jobs_url,
            "TRITONREEL_LAUNCHER_STATUS": str(self._settings.status_file.resolve()),
            "TRITONREEL_LOG_LEVEL": self._settings.log_level,
            "TRITONREEL_SHUTDOWN_TIMEOUT_SECONDS": str(_SHUTDOWN_SECONDS),
        }

    def _wait(self, path: str, trouble: str, began: float) -> None:
        """Until `path` answers 200."""
        answer = "no answer"
        with httpx.Client(base_url=self.url, trust_env=False, timeout=5.0) as client:
            while True:
                if not self._process.running:
                    raise self._start_error(f"The frontend {self._process.exit_reason()} while starting.")
                try:
                    response = client.get(path)
                    if response.status_code == 200:
                        return
                    answer = f"status {response.status_code}: {response.text}"
                except httpx.TransportError as error:
                    answer = str(error)
                if time.monotonic() - began > _START_SECONDS:
                    raise self._start_error(f"The frontend {trouble} after {_START_SECONDS:.0f} s ({answer}).")
                self._stop_signal.sleep(0.1)

    def _start_error(self, message: str) -> StartError:
        return StartError(f"{message}\nIts last lines:\n{self._process.last_lines()}", self.log)
