"""The project of compose.yaml with the stand-ins: built, brought up, and asked over HTTP."""

import contextlib
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.conftest import ROOT
from tests.docker.engine import Engine, compose_command, run
from tests.ports import free_port

SERVICES = ("frontend", "triton", "postgres", "s3", "prometheus")
"""all of profile `cpu` but Grafana, for which there is no stand-in"""
_FILES = ("compose.yaml", "docker/compose.standin.yaml", "tests/docker/compose.test.yaml")
_NAME = "tritonreel-test"
GATEWAY = "172.31.241.1"
"""this machine's address for the containers, as in compose.test.yaml"""
_HEALTHY_SECONDS = 420.0


class Project:
    """Containers, volumes and images of one engine.

    Args:
        folder: for its settings.
        torch_wheels: a page with the CPU build of torch; None for PyTorch's own.
    """

    def __init__(self, engine: Engine, folder: Path, torch_wheels: str | None) -> None:
        self.engine = engine
        self.url = ""
        self.collector_port = free_port()
        self.prometheus = f"http://127.0.0.1:{(prometheus := free_port())}"
        settings = {
            "TRITONREEL_PORT": two_free_ports(),  # a range: there may be two frontends
            "PROMETHEUS_PORT": str(prometheus),
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{GATEWAY}:{self.collector_port}",
        }
        self._env_file = folder / "env"
        self._env_file.write_text(run([sys.executable, ROOT / "docker" / "new_env.py"], {}, timeout=60))
        self._environment = engine.environment | settings
        for name in ("CHECKPOINTS", "LORAS"):
            (folder / name).mkdir()
            self._environment[name] = str(folder / name)
        if torch_wheels:
            self._environment["TORCH_WHEELS"] = torch_wheels
        for secret in ("TRITONREEL_API_KEY", "TRITONREEL_NO_AUTH", "TRITONREEL_BIND"):
            self._environment.pop(secret, None)

    def compose(self, *arguments: str, timeout: float = 300) -> str:
        files = [word for file in _FILES for word in ("-f", str(ROOT / file))]
        command = ["nice", *compose_command(), "-p", _NAME, *files, "--env-file", str(self._env_file)]
        return run([*command, "--profile", "cpu", *arguments], self._environment, timeout)

    def container(self, service: str) -> str:
        return self.compose("ps", "-q", service).strip()

    def url_of(self, frontend: int) -> str:
        """Of one of the frontends, from 1."""
        return f"http://{self.compose('port', f'--index={frontend}', 'frontend', '8000').strip()}"

    def address(self, service: str) -> str:
        """In the network of the containers."""
        return self.inspect(service, "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}")

    def inspect(self, service: str, template: str) -> str:
        return self.engine.run("inspect", "--format", template, self.container(service)).strip()

    @contextmanager
    def up(self) -> Iterator[None]:
        """Healthy, then down with its volumes."""
        try:
            self.compose("up", "-d", *SERVICES)
            self.wait_until_healthy()
            yield
        except BaseException:
            with (self._env_file.with_name("containers.log")).open("w") as log:
                log.write(self.compose("ps") + self.compose("logs", "--no-color", "--tail=200"))
            print(self._env_file.with_name("containers.log").read_text()[-20_000:])
            raise
        finally:
            self.compose("down", "--volumes", "--timeout", "20")

    def wait_until_healthy(self, url: str = "") -> None:
        """Until the frontend at `url` says that a job would run; the first one, whose port may be another one since
        it was started again, is at `self.url` from then on."""
        if not url:
            url = self.url = self.url_of(1)
        deadline = time.monotonic() + _HEALTHY_SECONDS
        answer = "no answer"
        while time.monotonic() < deadline:
            try:
                response = httpx.get(f"{url}/health", timeout=15)
            except httpx.TransportError as error:
                answer = str(error)
            else:
                if response.status_code == 200:
                    return
                answer = response.text
            time.sleep(1)
        raise AssertionError(f"not healthy within {_HEALTHY_SECONDS:g} s: {answer}")

    def wait_for_model(self, model: str) -> None:
        """Until it has been exported and is served."""
        deadline = time.monotonic() + _HEALTHY_SECONDS
        served: list[str] = []
        while model not in served:
            assert time.monotonic() < deadline, f"{model} is not served within {_HEALTHY_SECONDS:g} s, only {served}"
            time.sleep(1)
            served = [one["id"] for one in self.get("/v1/models").json()["data"]]

    def get(self, path: str) -> httpx.Response:
        response = httpx.get(f"{self.url}{path}", timeout=60)
        response.raise_for_status()
        return response

    def prometheus_says(self, query: str) -> list[str]:
        """The values of a query's series now."""
        response = httpx.get(f"{self.prometheus}/api/v1/query", params={"query": query}, timeout=30)
        assert response.status_code == 200, f"{query}: {response.text}"
        return [series["value"][1] for series in response.json()["data"]["result"]]

    def create(self, **fields: object) -> dict[str, Any]:
        """A video that is made while nobody waits; the video object."""
        response = httpx.post(f"{self.url}/v1/videos", json=fields, headers={"Prefer": "respond-async"}, timeout=60)
        assert response.is_success, response.text
        video: dict[str, Any] = response.json()
        return video

    def wait_for(self, video: str, *statuses: str, progress: int = 0, seconds: float = 420.0) -> dict[str, Any]:
        """The video object, once it has one of the statuses and at least that progress."""
        deadline = time.monotonic() + seconds
        while True:
            state: dict[str, Any] = self.get(f"/v1/videos/{video}").json()
            if state["status"] in statuses and state["progress"] >= progress:
                return state
            assert state["status"] != "failed", state
            assert time.monotonic() < deadline, f"not {' or '.join(statuses)} within {seconds:g} s: {state}"
            time.sleep(0.2)


def two_free_ports() -> str:
    """As a range."""
    while True:
        first = free_port()
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", first + 1)):
            return f"{first}-{first + 1}"


def kill(pid: int) -> None:
    """As the kernel does where memory runs out."""
    os.kill(pid, 9)
