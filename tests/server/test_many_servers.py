"""A job on one of three tritonservers, which is killed, goes on on another one, and its video is the same."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from launcher.ports import resolve
from launcher.settings import Ports, Settings
from launcher.triton_server import TritonServer
from tests.frontend.jobs.frontend_process import Frontend
from tests.waiting import wait_until

SECONDS = 240
STEPS = 40
REQUEST: dict[str, Any] = {
    "prompt": "a red circle moving right on a black background",
    "size": "128x128",
    "num_frames": 17,
    "num_inference_steps": STEPS,
    "seed": 5,
}


@pytest.fixture
def tritons(toy: Any, tmp_path: Path) -> Iterator[dict[str, TritonServer]]:
    """Three servers of the trained checkpoint, by their addresses."""
    servers: dict[str, TritonServer] = {}
    with ExitStack() as stack:
        for number in range(3):
            ports = resolve(Ports(0, 0, 0))
            server = TritonServer(Settings(tmp_path / f"triton-{number}", toy.repository, ports=ports))
            stack.callback(server.kill)
            servers[f"127.0.0.1:{ports.grpc}"] = server
        threads = stack.enter_context(ThreadPoolExecutor(len(servers)))  # a process ends with the thread that began it
        list(threads.map(TritonServer.start, servers.values()))
        yield servers


@pytest.fixture
def frontend(tritons: dict[str, TritonServer], tmp_path: Path) -> Iterator[Frontend]:
    jobs = f"sqlite:///{tmp_path}/jobs.sqlite"
    frontend = Frontend(tmp_path, ",".join(tritons), jobs, TRITONREEL_CHECKPOINT_SECONDS="0.05")
    try:
        frontend.start()
        yield frontend
    finally:
        frontend.kill()


def servers_of(frontend: Frontend) -> dict[str, dict[str, Any]]:
    return {server["name"]: server for server in httpx.get(f"{frontend.url}/v1/servers").json()["data"]}


def post(frontend: Frontend, request_id: str = "whole") -> httpx.Response:
    """Ask for the video, and wait for it."""
    headers = {"X-Request-Id": request_id}
    return httpx.post(f"{frontend.url}/v1/videos/sync", json=REQUEST, headers=headers, timeout=SECONDS)


@pytest.mark.long
def test_a_job_goes_on_where_the_server_that_was_killed_has_left_it(
    tritons: dict[str, TritonServer], frontend: Frontend, tmp_path: Path
) -> None:
    wait_until(lambda: all(server["healthy"] for server in servers_of(frontend).values()))
    whole = post(frontend)
    assert (whole.status_code, whole.content[4:8]) == (200, b"ftyp")

    answers: list[httpx.Response] = []
    client = threading.Thread(target=lambda: answers.append(post(frontend, "moved")))
    client.start()
    # Its client waits, and is not told of anything.
    wait_until(lambda: any(tmp_path.glob("files/*/0-checkpoint-*")))
    wait_until(lambda: any(0 < one["outstanding_evaluations"] <= 1.3 * STEPS for one in servers_of(frontend).values()))
    (busy,) = (name for name, server in servers_of(frontend).items() if server["running"])
    tritons[busy].kill()
    client.join(SECONDS)
    (moved,) = answers
    assert moved.status_code == 200, moved.text
    assert moved.content == whole.content

    logs = {name: (tmp_path / f"triton-{number}" / "logs" / "triton.log") for number, name in enumerate(tritons)}
    resumed = {name for name, log in logs.items() if "goes on after step" in log.read_text()}
    assert len(resumed) == 1
    assert busy not in resumed
    wait_until(lambda: not servers_of(frontend)[busy]["healthy"])
    assert httpx.get(f"{frontend.url}/health").status_code == 200
