"""A Docker engine of the tests' own: dockerd with its data in a folder, and no other network than those of projects."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

_COMMANDS = ("dockerd", "docker", "docker-proxy", "debootstrap", "iptables")
_START_SECONDS = 60


def why_not() -> str | None:
    """Why this machine cannot run an engine and Compose; None if it can."""
    if os.geteuid() != 0:
        return "containers are started by an engine of the tests' own, which needs root"
    search = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
    missing = [command for command in _COMMANDS if shutil.which(command, path=search) is None]
    if not missing and not compose_command():
        missing = ["docker-compose"]
    if missing:
        return (
            f"{', '.join(missing)} cannot be found; on Debian: "
            "apt-get install --no-install-recommends docker.io debootstrap iptables docker-compose"
        )
    return None


def compose_command() -> list[str]:
    """Compose's plugin, or the older program; empty if there is neither."""
    if subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode == 0:
        return ["docker", "compose"]
    return ["docker-compose"] if shutil.which("docker-compose") else []


class Engine:
    """A context manager: started, then stopped with all that it runs, and its data removed.

    Args:
        folder: a new one for its data, whose path is short enough for sockets.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder.with_suffix(".log")
        self._socket = folder / "docker.sock"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> dict[str, str]:
        """For Docker's clients; images are built by the classic builder, which every engine has."""
        return os.environ | {"DOCKER_HOST": f"unix://{self._socket}", "DOCKER_BUILDKIT": "0"}

    def run(self, *arguments: str | Path, timeout: float = 120) -> str:
        """`docker ...`; returns what it prints, and shows it when it fails."""
        return run(["docker", *arguments], self.environment, timeout)

    def pid(self, container: str) -> int:
        """On this machine, of a container's first process."""
        return int(self.run("inspect", "--format", "{{.State.Pid}}", container))

    def __enter__(self) -> Self:
        self.folder.mkdir()
        arguments = [
            *("dockerd", "--data-root", str(self.folder / "data"), "--exec-root", str(self.folder / "exec")),
            *("--host", f"unix://{self._socket}", "--pidfile", str(self.folder / "pid")),
            *("--bridge=none", "--iptables=false", "--ip-forward=false"),
        ]
        search = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                arguments, env=os.environ | {"PATH": search}, stdout=log, stderr=log, start_new_session=True
            )
        deadline = time.monotonic() + _START_SECONDS
        while subprocess.run(["docker", "version"], env=self.environment, capture_output=True, check=False).returncode:
            if self._process.poll() is not None or time.monotonic() > deadline:
                self._stop()
                raise AssertionError(f"the engine did not start:\n{self.log.read_text()[-3000:]}")
            time.sleep(0.2)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            containers = self.run("ps", "--all", "--quiet").split()
            if containers:
                self.run("rm", "--force", "--volumes", *containers)
            networks = self.run("network", "ls", "--filter", "type=custom", "--quiet").split()
            if networks:
                self.run("network", "rm", *networks)
        finally:
            self._stop()

    def _stop(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(60)
        for mount in sorted(self.mounts(), reverse=True):
            subprocess.run(["umount", mount], check=False)
        subprocess.run(["rm", "-rf", self.folder], check=True)  # some hundred thousand files

    def mounts(self) -> list[str]:
        """What is mounted in its folder."""
        points = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        return [point for point in points if point.startswith(f"{self.folder}/")]

    def processes(self) -> list[str]:
        """Command lines that name its folder: the daemon's and those of its containers' shims."""
        lines = (" ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"]))
        return [line for line in lines if str(self.folder) in line]


def run(command: Iterable[str | Path], environment: dict[str, str], timeout: float) -> str:
    """Raises AssertionError with the last lines of what it printed."""
    words = list(map(str, command))
    done = subprocess.run(words, env=environment, timeout=timeout, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout[-6000:]}\n{done.stderr[-6000:]}"
    return done.stdout
