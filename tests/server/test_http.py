"""The product over HTTP, whole: request in, MP4 out."""

import asyncio
import base64
from fractions import Fraction
from typing import Any

import httpx
import numpy as np
import pytest
from openai import OpenAI

from tests.waiting import until, wait_until

from .running_server import RunningServer
from .video import Video

PROMPT = "a red circle moving right on a black background"
LONG: dict[str, Any] = {"prompt": PROMPT, "size": "128x128", "num_frames": 33, "num_inference_steps": 200}


def test_a_prompt_becomes_a_video_of_the_models_own_size(server: RunningServer) -> None:
    response = server.post(prompt=PROMPT)

    assert response.status_code == 200
    body = response.json()
    video = Video(body["data"][0]["b64_json"])
    assert video.frames.shape == (9, 64, 64, 3)
    assert (video.rate, video.codec) == (Fraction(8), "h264")
    assert (body["model"], body["size"], body["num_frames"], body["fps"]) == ("toy-wan-t2v", "64x64", 9, 8)
    assert body["warnings"] == []


@pytest.mark.parametrize(
    ("asked", "shape", "rate"),
    [
        ({"size": "96x48", "num_frames": 18, "fps": 24}, (17, 48, 96, 3), 24),
        ({"size": "96x48", "width": 80, "seconds": 2, "fps": 10}, (21, 48, 80, 3), 10),
        ({"video_params": {"width": 48, "height": 32, "num_frames": 5, "fps": 30}}, (5, 32, 48, 3), 30),
        ({"num_frames": 1, "fps": 1}, (1, 64, 64, 3), 1),
    ],
)
def test_size_frames_and_rate_are_as_asked(
    server: RunningServer, asked: dict[str, Any], shape: tuple[int, ...], rate: int
) -> None:
    response = server.post(prompt=PROMPT, num_inference_steps=2, **asked)
    assert response.status_code == 200, response.text
    video = Video(response.json()["data"][0]["b64_json"])
    assert (video.frames.shape, video.rate) == (shape, Fraction(rate))
    assert response.json()["num_frames"] == shape[0]


def test_what_is_not_read_of_a_prompt_is_said(server: RunningServer) -> None:
    """The toy reads 64 tokens, of which one ends the text."""
    response = server.post(
        prompt="a red circle " * 40, negative_prompt="blurry", guidance_scale=1, n=2, num_inference_steps=1
    )
    assert response.json()["warnings"] == [
        'prompt: cut off after "... a red circle a red circle a red circle", as its 121 tokens are more than the 64 '
        "that toy-wan-t2v reads",
        "negative_prompt has no effect as guidance_scale is 1, and guides above 1",
    ]
    (model,) = httpx.get(f"{server.url}/v1/models").json()["data"]
    assert model["limits"]["max_sequence_length"] == 64


def test_n_videos_have_seeds_in_a_row_and_equal_single_ones(server: RunningServer) -> None:
    both = server.post(prompt=PROMPT, n=2, seed=40).json()["data"]
    second = server.post(prompt=PROMPT, seed=41).json()["data"][0]

    assert [video["seed"] for video in both] == [40, 41]
    assert both[0]["b64_json"] != both[1]["b64_json"]
    first, of_two, alone = (Video(one["b64_json"]).frames.astype(int) for one in (*both, second))
    # steps in a batch of another size round otherwise, which a lossy file makes more of; another seed is far from that
    assert np.abs(of_two - alone).mean() < np.abs(first - alone).mean() / 5


def test_the_solver_and_the_negative_prompt_change_the_video(server: RunningServer) -> None:
    plain, euler, negative = (
        Video(server.post(prompt=PROMPT, seed=1, **more).json()["data"][0]["b64_json"]).frames.astype(int)
        for more in ({}, {"extra_body": {"solver": "euler"}}, {"negative_prompt": "red"})
    )
    assert np.abs(plain - euler).max() > 10
    assert np.abs(plain - negative).max() > 10


def test_the_request_id_reaches_tritons_log(server: RunningServer) -> None:
    response = server.post(prompt=PROMPT, headers={"X-Request-Id": "find-me-again-123"})
    assert response.headers["x-request-id"] == "find-me-again-123"
    assert "find-me-again-123" in (server.run_dir / "logs" / "triton.log").read_text()


def test_a_bad_request_is_answered_before_any_job(server: RunningServer) -> None:
    before = server.metric("nv_inference_request_success", model="wan_text_encoder")
    refused: list[tuple[dict[str, Any], int, str]] = [
        ({"prompt": " "}, 422, "prompt"),
        ({"prompt": PROMPT, "size": "100x64"}, 400, "size"),
        ({"prompt": PROMPT, "num_frames": 1000}, 400, "num_frames"),
        ({"prompt": PROMPT, "model": "sora-2"}, 404, "model"),
        ({"prompt": PROMPT, "lora": {"name": "x"}}, 400, "lora"),
    ]
    for body, status, param in refused:
        response = server.post(**body)
        assert (response.status_code, response.json()["error"]["param"]) == (status, param), response.text
    assert server.metric("nv_inference_request_success", model="wan_text_encoder") == before


async def test_a_client_that_leaves_stops_its_job(server: RunningServer) -> None:
    cancelled = server.metric("cancelled_total")
    async with httpx.AsyncClient(timeout=60) as client:
        request = asyncio.create_task(client.post(f"{server.url}/v1/videos/generations", json=LONG))
        while server.metric("jobs_running") == 0:
            await asyncio.sleep(0.05)
        request.cancel()
        await asyncio.wait([request])

    for _ in range(200):
        if server.metric("jobs_running") == 0:
            break
        await asyncio.sleep(0.05)
    assert server.metric("jobs_running") == 0
    assert server.metric("cancelled_total") == cancelled + 1


def test_the_openai_sdk_lists_the_model(server: RunningServer) -> None:
    client = OpenAI(base_url=f"{server.url}/v1", api_key="unused")
    assert [model.id for model in client.models.list()] == ["toy-wan-t2v"]
    assert client.models.retrieve("toy-wan-t2v").owned_by


async def test_the_log_has_the_number_of_a_status(server: RunningServer) -> None:
    httpx.get(f"{server.url}/no-such-route")
    httpx.delete(f"{server.url}/health")

    def logged(path: str, status: int) -> bool:
        lines = server.frontend_log().splitlines()
        return any(f"path={path} " in line and f"status={status}" in line for line in lines)

    # a line is written when its answer has been sent
    await until(lambda: logged("/no-such-route", 404) and logged("/health", 405))
    assert "HTTPStatus" not in server.frontend_log()


def test_metrics_show_both_the_frontend_and_generate(server: RunningServer) -> None:
    text = httpx.get(f"{server.url}/metrics").text
    for name in ("tritonreel_http_requests_total", "jobs_running", "step_batch_size_sum", "nv_inference_count"):
        assert f"\n{name}" in text


def test_a_job_that_is_deleted_leaves_the_one_beside_it_alone(server: RunningServer) -> None:
    """Both share the calls of the transformer until then."""
    request = LONG | {"num_inference_steps": 40, "seed": 3}

    def create(**fields: Any) -> str:
        made = httpx.post(f"{server.url}/v1/videos", json=request | fields, headers={"Prefer": "respond-async"})
        return str(made.json()["id"])

    def video(job_id: str) -> dict[str, Any]:
        found: dict[str, Any] = httpx.get(f"{server.url}/v1/videos/{job_id}").json()
        return found

    def frames(job_id: str) -> Any:
        wait_until(lambda: video(job_id)["status"] == "completed")
        content = httpx.get(f"{server.url}/v1/videos/{job_id}/content").content
        return Video(base64.b64encode(content).decode()).frames.astype(int)

    alone = frames(create())
    beside, deleted = create(), create(seed=4)
    wait_until(lambda: video(deleted)["progress"] >= 10)
    assert httpx.delete(f"{server.url}/v1/videos/{deleted}").json()["deleted"]
    assert video(beside)["status"] == "in_progress"
    wait_until(lambda: server.metric("jobs_running") == 1)
    # steps in a batch of another size round otherwise, which a lossy file makes more of
    assert np.abs(frames(beside) - alone).mean() < 0.5
    assert httpx.get(f"{server.url}/v1/videos/{deleted}").status_code == 404


def test_jobs_that_are_deleted_give_their_memory_back(server: RunningServer) -> None:
    def delete_one() -> None:
        body = LONG | {"width": 256, "height": 256}
        body.pop("size")
        made = httpx.post(f"{server.url}/v1/videos", json=body, headers={"Prefer": "respond-async"}).json()["id"]
        wait_until(lambda: httpx.get(f"{server.url}/v1/videos/{made}").json()["progress"] > 0)
        httpx.delete(f"{server.url}/v1/videos/{made}")
        wait_until(lambda: server.metric("jobs_running") == 0)

    def resident() -> int:
        return sum(process.memory_info().rss for process in server.processes())

    delete_one()
    before = resident()
    for _ in range(4):
        delete_one()
    assert resident() < before + 2**26  # of the some hundred MiB that such a job takes
