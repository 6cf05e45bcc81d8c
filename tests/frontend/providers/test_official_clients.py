"""The official client of a provider makes a video on our server; those of OpenAI and Google are what we use anyway."""

import asyncio

import httpx
import pytest
from wavespeed import Client  # type: ignore[import-untyped]

from frontend.providers.demo.jobs import DemoJobs
from frontend.providers.wavespeed import HUNYUAN, LTX_2_PRO

from .conftest import KEY


def client(url: str, key: str = KEY) -> Client:
    return Client(key, url, max_retries=0, max_connection_retries=0)


async def test_wavespeed_makes_a_video(wavespeed_url: str, wavespeed_jobs: DemoJobs) -> None:
    inputs = {"prompt": "a fox", "size": "480*832", "duration": 8, "seed": 7}
    made = await asyncio.to_thread(
        client(wavespeed_url).run, HUNYUAN.paths["text-to-video"], inputs, timeout=60.0, poll_interval=0.02
    )
    (url,) = made["outputs"]
    async with httpx.AsyncClient() as http:
        content = (await http.get(url)).content
    assert content[4:8] == b"ftyp"
    (job,) = wavespeed_jobs.taken
    assert job.inputs == inputs
    assert wavespeed_jobs.asked == {"submit": 1, "poll": 3, "download": 1}
    again = await asyncio.to_thread(client(wavespeed_url).get_result, job.id)
    assert again["data"]["outputs"] == [url]


async def test_wavespeed_is_told_of_a_job_that_failed(wavespeed_url: str, wavespeed_jobs: DemoJobs) -> None:
    wavespeed_jobs.failure = "NSFW content detected"
    with pytest.raises(RuntimeError, match=r"Prediction failed .*NSFW content detected"):
        await asyncio.to_thread(
            client(wavespeed_url).run, HUNYUAN.paths["text-to-video"], {"prompt": "a fox"}, poll_interval=0.02
        )


@pytest.mark.parametrize(
    ("key", "inputs", "message"),
    [
        ("another-key", {"prompt": "a fox"}, "HTTP 401: .*Invalid API key"),
        (KEY, {"prompt": "a fox", "duration": 5}, r"HTTP 400: .*duration must be one of \[6, 8, 10\]"),
    ],
)
async def test_wavespeed_is_refused(
    wavespeed_url: str, wavespeed_jobs: DemoJobs, key: str, inputs: dict[str, object], message: str
) -> None:
    with pytest.raises(RuntimeError, match=message):
        await asyncio.to_thread(client(wavespeed_url, key).run, LTX_2_PRO.paths["text-to-video"], inputs)
    assert wavespeed_jobs.taken == []
