"""The application as `uvicorn --factory` makes it, on a real tritonserver."""

import asyncio
import base64
import io

import av
import httpx
import numpy as np
import pytest
from fastapi import FastAPI

from frontend.app import create_app
from frontend.settings import Settings
from tests.frontend.conftest import Serve
from tests.frontend.scripted_triton import Scripted
from tests.frontend.test_video_request import URL
from tests.waiting import SECONDS


@pytest.fixture
def app(triton: Scripted) -> FastAPI:
    metrics = f"http://127.0.0.1:{triton.ports.metrics}/metrics"
    return create_app(Settings(triton_url=triton.url, triton_metrics_url=metrics, stall_timeout_seconds=1))


def test_a_video_end_to_end(serve: Serve, app: FastAPI, triton: Scripted) -> None:
    with serve(app) as url:
        assert httpx.get(url + "/health").json() == {"status": "ok"}
        response = httpx.post(url + URL, json={"prompt": "a fox", "fps": 12}, headers={"X-Request-Id": "end-to-end"})
        metrics = httpx.get(url + "/metrics").text
    assert response.status_code == 200
    assert "end-to-end" in [line.get("request_id") for line in triton.log()]
    with av.open(io.BytesIO(base64.b64decode(response.json()["data"][0]["b64_json"])), "r") as container:
        frames = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
        assert container.streams.video[0].average_rate == 12
    assert frames.shape == (9, 48, 64, 3)
    assert 'nv_inference_request_success{model="generate"' in metrics


@pytest.mark.parametrize(
    ("prompt", "status"),
    [
        ('failed {"code": "deadline_exceeded", "message": "5 s are over"}', 504),
        ('failed {"code": "model_failed", "message": "wan_vae"}', 503),
        ('failed {"code": "internal", "message": "KeyError"}', 500),
        ("silence", 503),
    ],
)
def test_how_a_job_ends_is_how_it_is_answered(serve: Serve, app: FastAPI, prompt: str, status: int) -> None:
    with serve(app) as url:
        assert httpx.post(url + URL, json={"prompt": prompt}).status_code == status


async def test_a_client_that_leaves_cancels_its_job_in_triton(serve: Serve, app: FastAPI, triton: Scripted) -> None:
    with serve(app) as url:
        async with httpx.AsyncClient(timeout=SECONDS) as client:
            request = client.post(url + URL, json={"prompt": "slow"}, headers={"X-Request-Id": "leaver"})
            waiting = asyncio.create_task(request)
            await triton.logged(request_id="leaver")
            waiting.cancel()
            await asyncio.wait((waiting,))
        await triton.logged(cancelled="leaver")


def test_it_starts_without_triton(serve: Serve) -> None:
    with serve(create_app(Settings(triton_url="127.0.0.1:9"))) as url:
        assert httpx.get(url + "/health/live").status_code == 200
        health = httpx.get(url + "/health")
        video = httpx.post(url + URL, json={"prompt": "a fox"})
    assert health.status_code == video.status_code == 503
    assert "127.0.0.1:9 cannot be reached" in health.json()["reason"]
    assert int(video.headers["Retry-After"]) > 0
