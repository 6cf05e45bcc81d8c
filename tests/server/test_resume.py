"""A job whose server is killed goes on from its last checkpoint, and its video is the same."""

import re
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import httpx
import pytest
from sqlalchemy import make_url

from frontend.jobs.listing import JobQuery
from frontend.jobs.state import Job
from frontend.jobs.table import JobTable
from tests.waiting import wait_until

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


def newest(server: RunningServer) -> Job:
    table = JobTable(make_url(f"sqlite:///{server.run_dir}/jobs.sqlite"))
    try:
        page = table.page(JobQuery(None, "video", limit=1), time.time())
    finally:
        table.close()
    assert page is not None
    return page.jobs[0]


def content(server: RunningServer, job: Job) -> bytes:
    return httpx.get(f"{server.url}/v1/videos/{job.spec.id}/content").content


def test_frontend_and_tritonserver_are_killed_and_the_job_goes_on_from_a_step(saving_server: RunningServer) -> None:
    server = saving_server
    httpx.post(f"{server.url}/v1/videos", json=REQUEST, timeout=SECONDS)
    expected = content(server, newest(server))
    assert expected[4:8] == b"ftyp"
    steps = server.metric("step_seconds_count")

    def ask() -> None:
        with suppress(httpx.TransportError):  # it is killed
            httpx.post(f"{server.url}/v1/videos", json=REQUEST, timeout=SECONDS)

    threading.Thread(target=ask, daemon=True).start()
    wait_until(lambda: server.metric("step_seconds_count") >= steps + STEPS // 3)
    wait_until(lambda: any(server.run_dir.glob("storage/*/0-checkpoint-*")))
    before = newest(server)
    assert before.state.status == "in_progress"
    server.process("-m frontend").kill()  # first, as a client that waits is told of tritonserver's death
    server.tritonserver().kill()

    wait_until(lambda: newest(server).state.status == "completed")
    assert newest(server).spec.id == before.spec.id
    assert content(server, before) == expected
    logs = "".join(log.read_text() for log in (server.run_dir / "logs").glob("triton*.log*"))
    resumed = [int(step) for step in re.findall(r"goes on after step (\d+)", logs)]
    assert resumed
    assert min(resumed) > 0
    assert server.metric("step_seconds_count") <= STEPS - resumed[-1]
    wait_until(lambda: not any(server.run_dir.glob("storage/*/0-checkpoint-*")))


async def test_a_video_that_is_cancelled_costs_no_more_than_the_step_under_way(saving_server: RunningServer) -> None:
    """Counted by Triton, at the transformers."""
    server = saving_server

    def calls() -> float:
        return server.metric("nv_inference_exec_count", model="wan_t2v_transformer") + server.metric(
            "nv_inference_exec_count", model="wan_t2v_transformer_2"
        )

    before = calls()
    # A step takes far longer than it takes to hear of the cancellation.
    fields = {**REQUEST, "width": 256, "height": 256}
    del fields["size"]
    responses = stream(server.grpc, **fields)
    async for response in responses:
        if response.progress and response.progress[0] >= 2:
            break
    step = response.progress[0]
    await responses.aclose()
    wait_until(lambda: server.metric("jobs_running") == 0)
    assert calls() - before <= step + 1
