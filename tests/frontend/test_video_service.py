"""`/video/generate` and `/video/extend`: hosted providers, on demonstration servers, and this server's own models."""

import asyncio
import base64
import io
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import av
import httpx
import numpy as np
import pytest
from fastapi import FastAPI
from PIL import Image
from starlette.responses import JSONResponse

from frontend.app import create_app
from frontend.http.api_keys import KeyFile
from frontend.providers.demo.stage import Stage, on_stage
from frontend.providers.gemini_veo import Veo
from frontend.providers.klingai import KlingAI
from frontend.providers.registry import Registry
from frontend.settings import Settings
from tests.frontend.conftest import NOWHERE, client_of
from tests.frontend.fake_generator import FakeGenerator
from tests.frontend.test_video_request import error_of
from tests.model_cards import image_to_video_card, model_card
from tests.waiting import SECONDS, until

GENERATE, EXTEND = "/video/generate", "/video/extend"
LOCAL = {"prompt": "a fox", "customer_id": 7, "settings": {"video": {"model": "local"}}}
AT_ONCE = {"Prefer": "respond-async"}


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with on_stage(polls=1) as running:
        yield running


@pytest.fixture(autouse=True)
def as_it_was(stage: Stage) -> None:
    for jobs in stage.jobs.values():
        jobs.polls, jobs.failure, jobs.filtered = 1, None, None
        jobs.answers.clear()
        jobs.asked.clear()
        jobs.taken.clear()


@pytest.fixture
def generator() -> FakeGenerator:
    return FakeGenerator([model_card(), image_to_video_card()])


@asynccontextmanager
async def served(generator: FakeGenerator, environment: dict[str, str], **settings: Any) -> AsyncIterator[FastAPI]:
    app = create_app(Settings(triton_metrics_url=NOWHERE, **settings), generator, Registry(environment))
    async with app.router.lifespan_context(app):
        yield app


@pytest.fixture
async def client(stage: Stage, generator: FakeGenerator) -> AsyncIterator[httpx.AsyncClient]:
    async with served(generator, stage.environment) as app, client_of(app) as client:
        yield client


@pytest.fixture
async def lone(generator: FakeGenerator) -> AsyncIterator[httpx.AsyncClient]:
    """Of a server without any provider."""
    async with served(generator, {}) as app, client_of(app) as client:
        yield client


async def post(
    client: httpx.AsyncClient, path: str = GENERATE, image: str | None = None, **video: Any
) -> httpx.Response:
    body: dict[str, Any] = {"prompt": "a fox", "customer_id": 7, "settings": {"video": video}}
    return await client.post(path, json=body if image is None else body | {"input_image_url": image})


async def made(
    client: httpx.AsyncClient, path: str = GENERATE, image: str | None = None, **video: Any
) -> dict[str, Any]:
    response = await post(client, path, image, poll_interval_seconds=0.1, **video)
    assert response.status_code == 200, response.text
    answer = response.json()
    assert (answer["success"], answer["code"]) == (True, 200)
    data: dict[str, Any] = answer["data"]
    return data


async def file_of(client: httpx.AsyncClient, data: dict[str, Any]) -> bytes:
    response = await client.get(data["video_url"])
    assert response.status_code == 200, response.text
    return response.content


def frames_of(mp4: bytes) -> list[np.ndarray[Any, Any]]:
    with av.open(io.BytesIO(mp4), "r") as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def data_uri() -> str:
    file = io.BytesIO()
    Image.new("RGB", (400, 320), (10, 200, 30)).save(file, "PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


HOSTED = [
    ("hunyuan-video-1.5", "wavespeed", {"duration_seconds": 5, "resolution": "480p"}, 0.1),
    ("ltx-2-pro", "wavespeed", {"duration_seconds": 6}, 0.36),
    ("veo-3.1-fast", "gemini", {"duration_seconds": 4, "resolution": "720p"}, 0.4),
    ("sora", "openai", {"duration_seconds": 4}, 0.4),
    ("kling", "klingai", {"duration_seconds": 5}, 0.14),
]


@pytest.mark.parametrize(("model", "provider", "wishes", "cost"), HOSTED)
async def test_every_provider_makes_a_video(
    client: httpx.AsyncClient, stage: Stage, model: str, provider: str, wishes: dict[str, Any], cost: float
) -> None:
    data = await made(client, model=model, **wishes)

    assert (data["provider"], data["mode"], data["changes"]) == (provider, "text_to_video", [])
    assert data["settings"]["duration_seconds"] == data["duration"] == wishes["duration_seconds"]
    assert data["cost"] == pytest.approx(cost)
    assert len(frames_of(await file_of(client, data))) == wishes["duration_seconds"] * 8
    assert stage.jobs[provider].asked["submit"] == 1
    job = (await client.get(f"/v1/videos/{data['video_id']}")).json()
    assert (job["status"], job["progress"], job["fps"]) == ("completed", 100, 8.0)
    assert job["hosted"][0]["prediction_id"]
    assert job["params"]["provider"] == provider
    still = await client.get(f"/v1/videos/{data['video_id']}/content", params={"variant": "spritesheet"})
    assert still.headers["content-type"] == "image/jpeg"
    text = (await client.get("/metrics")).text
    assert f'tritonreel_hosted_videos_total{{model="{data["model"]}",provider="{provider}"}} 1.0' in text


@pytest.mark.parametrize(("model", "provider"), [(model, provider) for model, provider, *_ in HOSTED])
async def test_every_provider_starts_from_an_image(
    client: httpx.AsyncClient, stage: Stage, model: str, provider: str
) -> None:
    data = await made(client, image=data_uri(), model=model)

    assert data["mode"] == "image_to_video"
    assert frames_of(await file_of(client, data))
    assert len(stage.jobs[provider].taken) == 1


@pytest.mark.parametrize(
    ("model", "wishes", "change"),
    [
        ("veo-3.1-fast", {"duration_seconds": 5}, "duration_seconds is 4 seconds, not 5"),
        ("sora", {"aspect_ratio": "1:1"}, "aspect_ratio is"),
        ("kling", {"resolution": "4k"}, "resolution is 720p, not 4k"),
        ("kling", {"fps": 30}, "fps has no effect"),
        ("ltx-2-pro", {"mask": {"x": 1}}, "mask has no effect"),
    ],
)
async def test_what_is_not_offered_becomes_the_nearest_or_is_refused(
    client: httpx.AsyncClient, stage: Stage, model: str, wishes: dict[str, Any], change: str
) -> None:
    data = await made(client, model=model, **wishes)
    assert any(sentence.startswith(change) for sentence in data["changes"]), data["changes"]
    submitted = sum(len(jobs.taken) for jobs in stage.jobs.values())

    refused = await post(client, model=model, strict=True, **wishes)

    assert (refused.status_code, error_of(refused)["param"]) == (400, "settings.video.strict")
    assert change in error_of(refused)["message"]
    assert sum(len(jobs.taken) for jobs in stage.jobs.values()) == submitted


async def test_what_was_turned_off_is_told(client: httpx.AsyncClient) -> None:
    data = await made(client, model="ltx-2-pro", generate_audio=False)
    assert data["settings"]["generate_audio"] is False


async def test_several_videos_are_paid_for_and_returned(client: httpx.AsyncClient, stage: Stage) -> None:
    data = await made(client, model="hunyuan-video-1.5", number_of_videos=3, seed=5, resolution="480p")
    assert len(data["video_urls"]) == 3
    assert data["cost"] == pytest.approx(0.3)
    assert sorted(job.inputs["seed"] for job in stage.jobs["wavespeed"].taken) == [5, 6, 7]


async def test_the_file_itself_on_request(client: httpx.AsyncClient) -> None:
    video = {"model": "kling", "poll_interval_seconds": 0.1}
    body = {"prompt": "a fox", "customer_id": 7, "settings": {"video": video}, "save_to_db": False}
    url = (await client.post(GENERATE, json=body)).json()["data"]["video_url"]
    head, _, text = url.partition(",")
    assert head == "data:video/mp4;base64"
    assert frames_of(base64.b64decode(text))


@pytest.mark.parametrize("model", [None, "local", "toy-wan-t2v"])
async def test_without_any_provider_it_is_made_here(lone: httpx.AsyncClient, model: str | None) -> None:
    data = await made(lone, model=model, duration_seconds=2, seed=3)

    assert (data["provider"], data["model"], data["cost"]) == ("local", "toy-wan-t2v", 0)
    assert (data["duration"], data["settings"]["seed"]) == (17 / 8, 3)
    assert len(frames_of(await file_of(lone, data))) == 17


async def test_a_model_here_does_the_nearest_that_it_can(lone: httpx.AsyncClient) -> None:
    data = await made(lone, duration_seconds=60, aspect_ratio="1:1", resolution="4k", enhance_prompt=True)

    assert data["settings"]["width"] == data["settings"]["height"] == 256
    starts = ("duration_seconds is 20.125, not 60", "resolution is 256x256, not 4k", "enhance_prompt has no effect")
    assert len(data["changes"]) == len(starts)
    assert all(change.startswith(start) for change, start in zip(data["changes"], starts, strict=True)), data["changes"]


async def test_a_video_of_this_server_goes_on_here(lone: httpx.AsyncClient) -> None:
    first = await made(lone)

    data = await made(lone, EXTEND, duration_seconds=1, video_id=first["video_id"])

    assert (data["mode"], data["model"]) == ("video_extension", "toy-wan-i2v")
    assert data["source_video_id"] == first["video_id"]
    assert len(frames_of(await file_of(lone, data))) == 9 + 8


async def test_a_video_of_klingai_goes_on_there(client: httpx.AsyncClient, stage: Stage) -> None:
    first = await made(client, model="kling", duration_seconds=5)

    data = await made(client, EXTEND, video_id=first["video_id"])

    assert (data["provider"], data["model"], data["mode"]) == ("klingai", "kling-v1", "video_extension")
    _, extension = stage.jobs["klingai"].taken
    assert extension.inputs["video_id"]
    assert extension.inputs["video_id"] != first["video_id"]


async def test_an_extension_needs_its_video(client: httpx.AsyncClient) -> None:
    missing = await post(client, EXTEND, model="kling")
    assert (missing.status_code, error_of(missing)["param"]) == (400, "settings.video.video_id")
    unknown = await post(client, EXTEND, video_id="video_unknown")
    assert (unknown.status_code, error_of(unknown)["code"]) == (404, "video_not_found")
    cannot = await post(client, EXTEND, model="sora", video_id="somewhere-else")
    assert (cannot.status_code, error_of(cannot)["code"]) == (501, "not_implemented")


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"prompt": ""}, "prompt"),
        ({"prompt": " "}, "prompt"),
        ({"customer_id": 0}, "customer_id"),
        ({"customer_id": 10**30}, "customer_id"),
        ({"customer_id": None}, "customer_id"),
        ({"settings": 5}, "settings"),
        ({"settings": {"video": {"duration_seconds": 0}}}, "settings.video.duration_seconds"),
        ({"settings": {"video": {"duration_seconds": "long"}}}, "settings.video.duration_seconds"),
        ({"settings": {"video": {"aspect_ratio": "wide"}}}, "settings.video.aspect_ratio"),
        ({"settings": {"video": {"resolution": "big"}}}, "settings.video.resolution"),
        ({"settings": {"video": {"file_extension": "webm"}}}, "settings.video.file_extension"),
        ({"settings": {"video": {"number_of_videos": 11}}}, "settings.video.number_of_videos"),
        ({"settings": {"video": {"model": "kling-v99"}}}, "settings.video.model"),
        ({"input_image_url": "http://example.com/a.png"}, "input_image_url"),
        ({"input_image_url": "data:image/png;base64,AAAA"}, None),
    ],
)
async def test_what_cannot_be_done_is_a_400_before_anything_is_paid(
    client: httpx.AsyncClient, stage: Stage, change: dict[str, Any], param: str | None
) -> None:
    body = {"prompt": "a fox", "customer_id": 7, "settings": {"video": {"model": "kling"}}} | change
    response = await client.post(GENERATE, json=body)
    assert response.status_code == 400, response.text
    if param is not None:
        assert error_of(response)["param"] == param
    assert not any(jobs.taken for jobs in stage.jobs.values())


async def test_the_model_is_chosen_before_an_image_is_fetched(lone: httpx.AsyncClient) -> None:
    response = await post(lone, image="https://images.test/a.png", model="dall-e")
    assert (response.status_code, error_of(response)["code"]) == (404, "model_not_found")


async def test_a_model_that_nobody_has(lone: httpx.AsyncClient) -> None:
    unknown = await post(lone, model="dall-e")
    assert (unknown.status_code, error_of(unknown)["code"]) == (404, "model_not_found")
    assert error_of(unknown)["param"] == "settings.video.model"
    elsewhere = await post(lone, EXTEND, video_id="somewhere-else")
    assert (elsewhere.status_code, error_of(elsewhere)["param"]) == (400, "settings.video.video_id")
    seeds = await post(lone, seed=2**63 - 1, number_of_videos=2)
    assert (seeds.status_code, error_of(seeds)["param"]) == (400, "settings.video.seed")
    without_key = await post(lone, model="kling")
    assert (without_key.status_code, error_of(without_key)["code"]) == (400, "provider_not_configured")
    assert "KLINGAI_ACCESS_KEY" in error_of(without_key)["message"]
    assert error_of(without_key)["param"] == "settings.video.model"


@pytest.mark.parametrize(
    ("failure", "status", "code"),
    [
        (JSONResponse({"code": 401, "message": "no such key"}, 401), 502, "provider_key_refused"),
        (JSONResponse({"code": 400, "message": "insufficient credits"}, 400), 502, "provider_billing"),
        (JSONResponse({"code": 400, "message": "size is odd"}, 400), 400, "provider_refused_request"),
    ],
)
async def test_failures_have_their_status_and_no_second_charge(
    client: httpx.AsyncClient, stage: Stage, failure: JSONResponse, status: int, code: str
) -> None:
    jobs = stage.jobs["wavespeed"]
    jobs.answers["submit"] = deque([failure])
    response = await post(client, model="hunyuan-video-1.5")
    assert (response.status_code, error_of(response)["code"]) == (status, code)
    assert (jobs.asked["submit"], jobs.taken) == (1, [])
    assert jobs.key not in response.text


async def test_a_failed_job_and_a_late_one(client: httpx.AsyncClient, stage: Stage) -> None:
    jobs = stage.jobs["wavespeed"]
    jobs.failure = "the GPU is on fire"
    failed = await post(client, model="hunyuan-video-1.5", poll_interval_seconds=0.1)
    assert (failed.status_code, error_of(failed)["code"]) == (502, "provider_failed")
    assert "the GPU is on fire" in error_of(failed)["message"]

    jobs.failure, jobs.polls = None, 10**9
    late = await post(client, model="hunyuan-video-1.5", poll_interval_seconds=0.1, poll_timeout_seconds=1)
    assert (late.status_code, error_of(late)["code"]) == (504, "provider_deadline_exceeded")
    assert jobs.taken[-1].cancelled


async def test_a_job_that_is_deleted_stops_at_its_provider(client: httpx.AsyncClient, stage: Stage) -> None:
    jobs = stage.jobs["wavespeed"]
    jobs.polls = 10**9
    request = asyncio.create_task(post(client, model="hunyuan-video-1.5", poll_interval_seconds=0.1))
    await until(lambda: jobs.asked["poll"] > 1)
    (video,) = (await client.get("/v1/videos")).json()["data"]
    assert video["status"] == "in_progress"
    assert 0 < video["progress"] < 100

    await client.delete(f"/v1/videos/{video['id']}")

    assert (await request).status_code == 409
    assert jobs.taken[0].cancelled


@pytest.mark.parametrize(
    ("model", "provider", "stops"), [("ltx-2-pro", "wavespeed", True), ("kling", "klingai", False)]
)
async def test_a_client_that_leaves_stops_what_can_be_stopped(
    client: httpx.AsyncClient, stage: Stage, model: str, provider: str, stops: bool
) -> None:
    jobs = stage.jobs[provider]
    jobs.polls = 10**9
    request = asyncio.create_task(post(client, model=model, poll_interval_seconds=0.1))
    await until(lambda: jobs.asked["poll"] > 1)
    request.cancel()
    if stops:
        await until(lambda: jobs.taken[0].cancelled)
        return
    polls = jobs.asked["poll"]
    await until(lambda: jobs.asked["poll"] > polls + 2)
    jobs.polls = 0
    (video,) = (await client.get("/v1/videos")).json()["data"]
    async with asyncio.timeout(SECONDS):
        while (await client.get(f"/v1/videos/{video['id']}/content")).status_code != 200:
            await asyncio.sleep(0.05)
    assert not jobs.taken[0].cancelled


@pytest.mark.parametrize("jobs_in", ["memory", "sqlite"])
async def test_hosted_jobs_do_not_wait_for_those_that_are_made_here(
    generator: FakeGenerator, stage: Stage, tmp_path: Path, jobs_in: str
) -> None:
    url = None if jobs_in == "memory" else f"sqlite:///{tmp_path}/jobs.sqlite"
    key_file = KeyFile(tmp_path / "keys.json")
    limits = {"jobs": url, "keys_file": key_file.path, "max_running_jobs": 1, "max_hosted_jobs": 1}
    headers = {"Authorization": f"Bearer {key_file.add('ann')}"}
    generator.step_gate.clear()
    async with served(generator, stage.environment, **limits) as app, client_of(app) as client:
        client.headers.update(headers)
        for _ in range(2):
            assert (await client.post(GENERATE, json=LOCAL, headers=AT_ONCE)).status_code == 202
        await made(client, model="kling")
        stage.jobs["klingai"].polls = 2
        both = await asyncio.gather(made(client, model="kling"), made(client, model="kling"))
        assert len({data["video_id"] for data in both}) == 2
        local = [video for video in (await client.get("/v1/videos")).json()["data"] if "hosted" not in video]
        assert sorted(video["status"] for video in local) == ["in_progress", "queued"]
        assert "tritonreel_key_job_seconds_total{" not in app.state.services.metrics.text()
        generator.step_gate.set()


async def test_a_request_that_does_not_wait_gets_the_job(lone: httpx.AsyncClient, generator: FakeGenerator) -> None:
    generator.step_gate.clear()
    response = await lone.post(GENERATE, json=LOCAL, headers=AT_ONCE)
    answer = response.json()
    assert (response.status_code, answer["success"], answer["code"]) == (202, True, 202)
    assert response.headers["preference-applied"] == "respond-async"
    assert answer["data"]["status"] in ("queued", "in_progress")
    assert answer["data"]["id"] in answer["message"]
    soon = await lone.post(GENERATE, json=LOCAL, headers={"Prefer": "wait=0"})
    assert soon.status_code == 202
    generator.step_gate.set()
    done = await lone.post(GENERATE, json=LOCAL, headers={"Prefer": "wait=60"})
    assert (done.status_code, done.json()["data"]["provider"]) == (200, "local")
    assert done.headers["preference-applied"] == "wait=60"
    longer = {"prompt": "on", "customer_id": 7, "settings": {"video_id": done.json()["data"]["video_id"]}}
    extended = await lone.post(EXTEND, json=longer, headers=AT_ONCE)
    assert (extended.status_code, extended.json()["data"]["model"]) == (202, "toy-wan-i2v")


@pytest.mark.parametrize(("path", "model"), [("/v1/videos", "veo-3.1-fast"), ("/v1/videos/generations", "kling")])
async def test_openai_s_routes_take_hosted_models(
    client: httpx.AsyncClient, stage: Stage, monkeypatch: pytest.MonkeyPatch, path: str, model: str
) -> None:
    monkeypatch.setattr(KlingAI, "poll_seconds", 0.1)
    monkeypatch.setattr(Veo, "poll_seconds", 0.1)
    body = {"prompt": "a fox", "model": model, "seconds": "5", "size": "1920x1080", "num_inference_steps": 9}

    video = (await client.post(path, json=body)).json()

    assert video["params"]["aspect_ratio"] == "16:9"
    assert "num_inference_steps has no effect on" in video["warnings"][-1]
    assert frames_of(base64.b64decode(video["data"][0]["b64_json"]))
    refused = await client.post(path, json=body | {"num_frames": 5})
    assert (refused.status_code, error_of(refused)["param"]) == (400, "num_frames")


async def test_models_that_there_are_keys_for_are_listed(client: httpx.AsyncClient, lone: httpx.AsyncClient) -> None:
    listed = {model["id"]: model for model in (await client.get("/v1/models")).json()["data"]}
    assert listed["veo-3.1-fast"]["owned_by"] == "gemini"
    assert listed["veo-3.1-fast"]["durations"] == [4, 6, 8]
    assert listed["hunyuan-video-1.5"]["dollars_per_second"] == {"480p": 0.02, "720p": 0.04}
    assert listed["toy-wan-t2v"]["owned_by"] == "tritonreel"
    assert (await client.get("/v1/models/kling")).json()["id"] == "kling-v1"
    assert {model["owned_by"] for model in (await lone.get("/v1/models")).json()["data"]} == {"tritonreel"}


async def test_spending_is_limited_and_told(stage: Stage, generator: FakeGenerator) -> None:
    limits = {"max_dollars_per_request": 0.5, "max_dollars_per_day": 0.6}
    async with served(generator, stage.environment, **limits) as app, client_of(app) as client:
        dear = await post(client, model="hunyuan-video-1.5", number_of_videos=3)
        assert (dear.status_code, "would cost $0.60" in error_of(dear)["message"]) == (400, True)
        for _ in range(2):
            await made(client, model="hunyuan-video-1.5")
        stage.jobs["wavespeed"].answers["submit"] = deque([JSONResponse({"code": 400, "message": "no"}, 400)])
        assert (await post(client, model="hunyuan-video-1.5")).status_code == 400
        usage = (await client.get("/v1/usage")).json()
        assert usage["total_dollars"] == 0.4, "what was refused costs nothing"
        assert [(row["provider"], row["model"], row["videos"], row["key"]) for row in usage["data"]] == [
            ("wavespeed", "hunyuan-video-1.5", 2, None)
        ]
        await made(client, model="hunyuan-video-1.5")
        spent = await post(client, model="kling")
        assert (spent.status_code, error_of(spent)["code"]) == (429, "insufficient_quota")
        assert int(spent.headers["retry-after"]) > 0
    assert len(stage.jobs["wavespeed"].taken) == 3
    assert stage.jobs["klingai"].taken == []
