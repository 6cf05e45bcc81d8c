"""`/v1/jobs`: videos and images, here and at hosted providers, in one list."""

import asyncio
import io
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from PIL import Image

from protocol.errors import ModelFailed
from tests.frontend.fake_generator import FakeGenerator, of_all_kinds
from tests.frontend.jobs.specs import hosted_spec
from tests.frontend.test_video_request import error_of
from tests.frontend.test_videos import image_file
from tests.waiting import SECONDS, until

URL = "/v1/jobs"
VIDEOS, IMAGES = "/v1/videos/generations", "/v1/images/generations"
ASYNC = {"Prefer": "respond-async"}
VIDEO = {"prompt": "A Fox", "size": "32x16", "num_frames": 9, "seed": 3, "num_inference_steps": 2}


@pytest.fixture
def generator() -> FakeGenerator:
    return of_all_kinds()


async def make(client: httpx.AsyncClient, path: str, **fields: Any) -> dict[str, Any]:
    """The job of a create that does not wait for it."""
    created = await client.post(path, json={"prompt": "a fox"} | fields, headers=ASYNC)
    assert (created.status_code, created.headers["Preference-Applied"]) == (202, "respond-async")
    job: dict[str, Any] = created.json()
    return job


async def ended(client: httpx.AsyncClient, job_id: str) -> dict[str, Any]:
    """The job, when it goes on no more."""
    async with asyncio.timeout(SECONDS):
        while (job := (await client.get(f"{URL}/{job_id}")).json())["status"] in ("queued", "in_progress"):
            await asyncio.sleep(0.01)
    told: dict[str, Any] = job
    return told


async def listed(client: httpx.AsyncClient, **query: Any) -> list[str]:
    page = (await client.get(URL, params=query)).json()
    ids = [job["id"] for job in page["data"]]
    assert (page["object"], page["first_id"], page["last_id"]) == ("list", *((ids[0], ids[-1]) if ids else (None,) * 2))
    return ids


# What is said of a job


async def test_a_video_is_told_with_all_that_it_is_made_with(client: httpx.AsyncClient) -> None:
    created = await make(client, VIDEOS, **VIDEO, n=2, negative_prompt="blurry", fps=12, warned=1)
    job = await ended(client, created["id"])
    files, timings = job.pop("files"), job.pop("timings")
    times = [job.pop(name) for name in ("created_at", "completed_at", "expires_at")]
    assert times == sorted(times)
    assert timings["denoise_seconds"] == pytest.approx(0.6)
    assert job.pop("params").items() >= {"num_inference_steps": 2, "solver": "unipc", "lora": []}.items()
    assert job == {
        "id": created["id"],
        "object": "job",
        "kind": "video",
        "task": "text-to-video",
        "status": "completed",
        "progress": 100,
        "model": "toy-wan-t2v",
        "prompt": "A Fox",
        "negative_prompt": "blurry",
        "size": "32x16",
        "n": 2,
        "num_frames": 9,
        "fps": 12.0,
        "seconds": 0.75,
        "lora": [],
        "error": None,
        "remixed_from_video_id": None,
        "warnings": ["unknown field 'warned' has no effect"],
        "hosted": None,
    }
    for index, file in enumerate(files):
        content = await client.get(file["url"])
        assert (file["index"], file["seed"], file["media_type"]) == (index, 3 + index, content.headers["Content-Type"])
        assert (file["bytes"], content.status_code) == (len(content.content), 200)
        with Image.open(io.BytesIO((await client.get(file["thumbnail_url"])).content)) as thumbnail:
            assert (thumbnail.format, thumbnail.size) == ("WEBP", (32, 16))


async def test_an_image_is_told_likewise(client: httpx.AsyncClient) -> None:
    created = await make(client, IMAGES, size="640x320", output_format="jpeg", true_cfg_scale=3.0, seed=4)
    assert (created["files"], created["timings"], created["completed_at"]) == ([], None, None)
    job = await ended(client, created["id"])
    assert job["params"]["true_cfg_scale"] == 3.0
    expected = {"kind": "image", "task": "text-to-image", "size": "640x320", "num_frames": None, "fps": None}
    assert job.items() >= (expected | {"seconds": None, "model": "toy-qwen-image"}).items()
    (file,) = job["files"]
    content = (await client.get(file["url"])).content
    assert (file["media_type"], file["bytes"], file["seed"]) == ("image/jpeg", len(content), 4)
    thumbnail = await client.get(file["thumbnail_url"])
    assert thumbnail.headers["Content-Disposition"] == f'inline; filename="{job["id"]}-thumbnail.webp"'
    with Image.open(io.BytesIO(thumbnail.content)) as image:
        assert (image.format, image.size) == ("WEBP", (320, 160))
    wrong = await client.get(f"/v1/images/{job['id']}/content", params={"variant": "spritesheet"})
    assert (wrong.status_code, error_of(wrong)["message"]) == (400, "variant: must be image or thumbnail")


async def test_a_video_from_an_image_and_its_extension_say_so(client: httpx.AsyncClient) -> None:
    files: dict[str, Any] = {"prompt": (None, "x"), "input_reference": ("a.png", image_file(), "image/png")}
    video = (await client.post("/v1/videos", files=files)).json()
    longer = {"prompt": "on", "seconds": 1, "video": {"id": video["id"]}}
    extension = (await client.post("/v1/videos/extensions", json=longer)).json()
    remix = (await client.post(f"/v1/videos/{video['id']}/remix", json={"prompt": "y"})).json()
    told = [(await client.get(f"{URL}/{made['id']}")).json() for made in (video, extension, remix)]
    assert [job["task"] for job in told] == ["image-to-video", "video-extension", "image-to-video"]
    assert [job["num_frames"] for job in told] == [9, extension["num_frames"], 9]
    assert [job["remixed_from_video_id"] for job in told] == [None, None, video["id"]]


async def test_a_hosted_video_is_among_them(client: httpx.AsyncClient, app: FastAPI) -> None:
    await app.state.services.jobs.submit(hosted_spec(job_id="video_hosted"))
    job = (await client.get(f"{URL}/video_hosted")).json()
    assert (job["kind"], job["task"], job["lora"]) == ("video", "text-to-video", [])
    assert (job["params"]["provider"], job["params"]["resolution"]) == ("wavespeed", "720p")
    assert await listed(client) == ["video_hosted"]


async def test_a_failed_job_says_why(client: httpx.AsyncClient, generator: FakeGenerator) -> None:
    generator.error_for = lambda params: ModelFailed("broken")
    job = await ended(client, (await make(client, IMAGES))["id"])
    assert (job["status"], job["error"]["code"], job["files"]) == ("failed", "model_failed", [])


# Creates that do not wait


@pytest.mark.parametrize("path", [VIDEOS, IMAGES])
async def test_an_answer_that_waits_long_enough_is_the_usual_one(client: httpx.AsyncClient, path: str) -> None:
    whole = await client.post(path, json={"prompt": "x", "seed": 1}, headers={"Prefer": "wait=30"})
    assert (whole.status_code, whole.headers["Preference-Applied"]) == (200, "wait=30")
    usual = await client.post(path, json={"prompt": "x", "seed": 1})
    assert whole.json().keys() == usual.json().keys()
    assert whole.json()["data"][0]["b64_json"] == usual.json()["data"][0]["b64_json"]
    assert "Preference-Applied" not in usual.headers


@pytest.mark.parametrize("path", [VIDEOS, IMAGES])
async def test_a_job_goes_on_when_its_answer_did_not_wait(
    client: httpx.AsyncClient, generator: FakeGenerator, path: str
) -> None:
    generator.step_gate.clear()
    created = await client.post(path, json={"prompt": "x"}, headers={"Prefer": "wait=0"})
    assert (created.status_code, created.headers["openai-poll-after-ms"]) == (202, "500")
    job = created.json()
    assert job["status"] in ("queued", "in_progress")
    generator.step_gate.set()
    assert (await ended(client, job["id"]))["status"] == "completed"
    assert "openai-poll-after-ms" not in (await client.get(f"{URL}/{job['id']}")).headers


async def test_what_is_wrong_is_said_before_there_is_a_job(client: httpx.AsyncClient) -> None:
    assert (await client.post(IMAGES, json={"prompt": "x", "size": "24x16"}, headers=ASYNC)).status_code == 400
    assert await listed(client) == []


# The list


@pytest.fixture
async def four(client: httpx.AsyncClient) -> list[str]:
    """Ids of jobs, the oldest first: a video and an image of each of two prompts."""
    prompts = ("100% Grün_Äpfel", "a red\\fox")
    made = [await make(client, path, prompt=prompt) for prompt in prompts for path in (VIDEOS, IMAGES)]
    return [(await ended(client, job["id"]))["id"] for job in made]


async def test_videos_and_images_are_listed_together_page_by_page(client: httpx.AsyncClient, four: list[str]) -> None:
    assert await listed(client) == four[::-1]
    assert await listed(client, order="asc", limit=2, after=four[0]) == four[1:3]
    assert await listed(client, kind="video") == [four[2], four[0]]
    assert await listed(client, kind="image", after=four[3]) == [four[1]]
    assert await listed(client, model="toy-wan-t2v") == [four[2], four[0]]
    assert await listed(client, model="toy") == []
    assert await listed(client, status="completed", limit=1) == [four[3]]
    assert await listed(client, status="failed") == []


@pytest.mark.parametrize(
    ("search", "found"),
    [("GRÜN_ä", 2), ("100%", 2), ("%", 2), ("_", 2), ("d\\F", 2), ("a red", 2), ("", 4), ("x%x", 0), ("\0", 0)],
)
async def test_a_part_of_a_prompt_finds_its_jobs(
    client: httpx.AsyncClient, four: list[str], search: str, found: int
) -> None:
    assert len(await listed(client, search=search)) == found
    assert len(await listed(client, search=search, kind="image")) == found // 2


@pytest.mark.parametrize(
    ("query", "status", "param"),
    [
        ({"kind": "sound"}, 422, "kind"),
        ({"status": "done"}, 422, "status"),
        ({"limit": 101}, 422, "limit"),
        ({"order": "up"}, 422, "order"),
        ({"search": "x" * 257}, 422, "search"),
        ({"after": "video_x"}, 404, "after"),
        ({"after": "\0"}, 404, "after"),
        ({"after": "image_x", "kind": "image"}, 404, "after"),
    ],
)
async def test_a_wrong_list_names_its_field(
    client: httpx.AsyncClient, query: dict[str, Any], status: int, param: str
) -> None:
    response = await client.get(URL, params=query)
    assert (response.status_code, error_of(response)["param"]) == (status, param)


# Deletion


async def test_a_job_that_is_deleted_is_gone_with_its_files(client: httpx.AsyncClient, app: FastAPI) -> None:
    job = await ended(client, (await make(client, IMAGES))["id"])
    await client.get(job["files"][0]["thumbnail_url"])
    deleted = await client.delete(f"{URL}/{job['id']}")
    assert deleted.json() == {"id": job["id"], "object": "job.deleted", "deleted": True}
    for path in ("", "/events"):
        gone = await client.get(f"{URL}/{job['id']}{path}")
        assert (gone.status_code, error_of(gone)["code"]) == (404, "job_not_found")
        assert error_of(gone)["message"] == f"job_id: job '{job['id']}' not found or expired"
    assert [file async for file in app.state.services.storage.list()] == []


async def test_a_job_that_is_deleted_while_it_goes_on_stops(
    client: httpx.AsyncClient, generator: FakeGenerator
) -> None:
    generator.step_gate.clear()
    job = await make(client, IMAGES)
    await until(lambda: len(generator.jobs) == 1)
    assert (await client.delete(f"{URL}/{job['id']}")).json()["deleted"] is True
    assert generator.cancelled == list(generator.jobs)
    assert await listed(client) == []
