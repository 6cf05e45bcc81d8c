"""A job whose server is killed goes on from its last checkpoint, and its video is the same."""

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import httpx
import pytest

from .grpc_client import stream
from .running_server import RunningServer

STEPS = 40
REQUEST: dict[str, Any] = {
    "prompt": "a red circle moving right on a black background",
    "size": "128x128",
    "num_frames": 33,
    "num_inference_steps": STEPS,
    "seed": 5,
}
SECONDS = 240


@pytest.fixture
def saving_server(toy: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server that saves jobs after almost every step, and whose processes may be killed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRITONREEL_CHECKPOINT_SECONDS", "0.05")
        with RunningServer(toy.repository, tmp_path_factory.mktemp("saving"), "--restart-limit", "100") as running:
            yield running


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.05)


def job(server: RunningServer, **wanted: object) -> dict[str, Any] | None:
    """The newest video, if it is as wanted."""
    with suppress(httpx.TransportError):
        answer = httpx.get(f"{server.url}/v1/videos", params={"limit": 1})
        if answer.status_code == 200 and (found := answer.json()["data"]):
            newest: dict[str, Any] = found[0]
            return newest if wanted.items() <= newest.items() else None
    return None


def content(server: RunningServer, video: dict[str, Any]) -> bytes:
    return httpx.get(f"{server.url}/v1/videos/{video['id']}/content").content


def test_frontend_and_tritonserver_are_killed_and_the_job_goes_on_from_a_step(saving_server: RunningServer) -> None:
    server = saving_server
    httpx.post(f"{server.url}/v1/videos", json=REQUEST, timeout=SECONDS)
    whole = job(server, status="completed")
    assert whole is not None
    expected = content(server, whole)
    steps = server.metric("step_seconds_count")

    def ask() -> None:
        with suppress(httpx.TransportError):  # it is killed
            httpx.post(f"{server.url}/v1/videos", json=REQUEST, timeout=SECONDS)

    threading.Thread(target=ask, daemon=True).start()
    until(lambda: server.metric("step_seconds_count") >= steps + STEPS // 3)
    until(lambda: any(server.run_dir.glob("storage/*/0-checkpoint-*")))
    before = job(server, status="in_progress")
    assert before is not None
    server.process("-m frontend").kill()  # first, as a client that waits is told of tritonserver's death
    server.tritonserver().kill()

    until(lambda: job(server, id=before["id"], status="completed") is not None)
    after = job(server)
    assert after is not None
    assert content(server, after) == expected
    logs = "".join(log.read_text() for log in (server.run_dir / "logs").glob("triton*.log*"))
    resumed = [int(step) for step in re.findall(r"goes on after step (\d+)", logs)]
    assert resumed
    assert min(resumed) > 0
    assert server.metric("step_seconds_count") <= STEPS - resumed[-1]
    until(lambda: not any(server.run_dir.glob("storage/*/0-checkpoint-*")))


async def test_a_video_that_is_cancelled_costs_no_more_than_the_step_under_way(saving_server: RunningServer) -> None:
    """Counted by Triton, at the transformers."""
    server = saving_server

    def calls() -> float:
        return server.metric("nv_inference_exec_count", model="wan_t2v_transformer") + server.metric(
            "nv_inference_exec_count", model="wan_t2v_transformer_2"
        )

    before = calls()
    width, height = map(int, REQUEST["size"].split("x"))
    fields = {name: value for name, value in REQUEST.items() if name != "size"}
    responses = stream(server.grpc, width=width, height=height, **fields)
    async for response in responses:
        if response.progress and response.progress[0] >= 5:
            break
    step = response.progress[0]
    await responses.aclose()
    until(lambda: server.metric("jobs_running") == 0)
    assert calls() - before <= step + 1
