"""Videos while they are made and afterwards: asynchronous creates, states, the list, deletion, remixes, stills."""

import asyncio
import base64
import io
import json
from typing import Any

import av
import httpx
import numpy as np
import pytest
from fastapi import FastAPI
from PIL import Image

from frontend.app import create_app
from frontend.settings import Settings
from protocol.errors import InvalidRequest, ModelFailed
from tests.frontend.conftest import NOWHERE, client_of
from tests.frontend.fake_generator import FakeGenerator
from tests.frontend.test_video_request import error_of
from tests.frontend.test_videos import URL, data_uri, image_file, post_json
from tests.model_cards import image_to_video_card, model_card
from tests.waiting import SECONDS, until

ASYNC = {"Prefer": "respond-async"}


@pytest.fixture
def generator() -> FakeGenerator:
    return FakeGenerator([model_card(), image_to_video_card()])


async def create(client: httpx.AsyncClient, prefer: str = "respond-async", **fields: Any) -> httpx.Response:
    return await client.post(URL, json={"prompt": "x"} | fields, headers={"Prefer": prefer})


async def ended(client: httpx.AsyncClient, video_id: str) -> dict[str, Any]:
    async with asyncio.timeout(SECONDS):
        while True:
            video: dict[str, Any] = (await client.get(f"{URL}/{video_id}")).json()
            if video["status"] in ("completed", "failed"):
                return video
            await asyncio.sleep(0.01)


# Asynchronous creates, and the states of a video


async def test_a_video_from_its_create_to_its_file(client: httpx.AsyncClient, generator: FakeGenerator) -> None:
    generator.step_gate.clear()
    created = await create(client, seconds=1, n=2)
    video = created.json()
    assert (created.status_code, created.headers["Preference-Applied"]) == (200, "respond-async")
    assert int(created.headers["openai-poll-after-ms"]) > 0
    assert (video["object"], video["status"] in ("queued", "in_progress")) == ("video", True)
    assert (video["model"], video["size"], video["num_frames"]) == ("toy-wan-t2v", "64x48", 9)
    for name in ("completed_at", "expires_at", "error", "url", "timings", "remixed_from_video_id"):
        assert video[name] is None
    assert "data" not in video

    url = f"{URL}/{video['id']}"
    await until(lambda: len(generator.jobs) == 2)
    running = await client.get(url)
    assert (running.json()["status"], "openai-poll-after-ms" in running.headers) == ("in_progress", True)
    assert 0 < running.json()["progress"] < 100
    content = await client.get(f"{url}/content")
    assert (content.status_code, error_of(content)["code"]) == (409, "video_not_ready")
    assert content.headers["X-Should-Retry"] == "false"

    generator.step_gate.set()
    done = await ended(client, video["id"])
    assert (done["status"], done["progress"], len(done["urls"])) == ("completed", 100, 2)
    assert done["url"] == done["urls"][0]
    assert done["expires_at"] > done["completed_at"] >= done["created_at"]
    assert "openai-poll-after-ms" not in (await client.get(url)).headers
    files = {(await client.get(one)).content for one in done["urls"]}
    assert all(file[4:8] == b"ftyp" for file in files)


async def test_a_failed_video_says_why_with_status_200(client: httpx.AsyncClient, generator: FakeGenerator) -> None:
    generator.error_for = lambda params: InvalidRequest("must be odd", "width")
    video = await ended(client, (await create(client)).json()["id"])
    assert video["status"] == "failed"
    assert video["error"] == {"code": "unsupported_value", "message": "must be odd", "param": "width"}
    content = await client.get(f"{URL}/{video['id']}/content")
    assert (content.status_code, error_of(content)["code"]) == (409, "video_failed")
    assert "must be odd" in error_of(content)["message"]


async def test_a_cancelled_video_has_failed_for_openais_clients(
    client: httpx.AsyncClient, app: FastAPI, generator: FakeGenerator
) -> None:
    generator.step_gate.clear()
    video_id = (await create(client)).json()["id"]
    await app.state.services.jobs.cancel(video_id)
    video = (await client.get(f"{URL}/{video_id}")).json()
    assert (video["status"], video["error"]["code"]) == ("failed", "cancelled")


@pytest.mark.parametrize(
    ("prefer", "applied"),
    [
        ("wait=30", "wait=30"),
        ("Wait = 30", "wait=30"),
        ("respond-async, wait=30", "respond-async, wait=30"),
        ('handling=lenient, wait="30"; x=1', "wait=30"),
    ],
)
async def test_a_create_may_wait_for_some_time(client: httpx.AsyncClient, prefer: str, applied: str) -> None:
    created = await create(client, prefer)
    assert created.headers["Preference-Applied"] == applied
    assert created.json()["status"] == "completed"
    assert created.json()["data"][0]["b64_json"]


async def test_a_create_that_has_waited_long_enough_answers_with_the_video_as_it_is(
    client: httpx.AsyncClient, generator: FakeGenerator
) -> None:
    generator.step_gate.clear()
    created = (await create(client, "wait=1")).json()
    assert (created["status"], "data" in created) == ("in_progress", False)
    generator.step_gate.set()
    assert (await ended(client, created["id"]))["status"] == "completed"


@pytest.mark.parametrize("prefer", ["", "wait=soon", "wait=-1", "return=minimal", "respond"])
async def test_what_nobody_can_read_is_no_preference(client: httpx.AsyncClient, prefer: str) -> None:
    created = await create(client, prefer)
    assert "Preference-Applied" not in created.headers
    assert created.json()["status"] == "completed"


async def test_the_server_may_be_set_to_answer_at_once(generator: FakeGenerator) -> None:
    generator.step_gate.clear()
    settings = Settings(triton_metrics_url=NOWHERE, videos_respond="async")
    async with client_of(create_app(settings, generator)) as client:
        created = await client.post(URL, json={"prompt": "x"})
        assert created.json()["status"] in ("queued", "in_progress")
        assert "Preference-Applied" not in created.headers
        generator.step_gate.set()
        assert (await create(client, "wait=30")).json()["status"] == "completed"


async def test_a_job_that_nobody_waits_for_outlives_an_outage(
    client: httpx.AsyncClient, generator: FakeGenerator
) -> None:
    errors = [ModelFailed("wan_vae died"), None]
    generator.error_for = lambda params: errors.pop(0)
    assert (await create(client, "wait=30")).json()["status"] == "completed"


async def test_what_is_wrong_is_said_before_there_is_a_job(client: httpx.AsyncClient) -> None:
    assert (await create(client, size="24x16")).status_code == 400
    assert (await client.get(URL)).json()["data"] == []


# The list


@pytest.fixture
async def five(client: httpx.AsyncClient) -> list[str]:
    """Ids of videos, the oldest first."""
    return [(await create(client, seed=i)).json()["id"] for i in range(5)]


async def listed(client: httpx.AsyncClient, **query: Any) -> tuple[list[str], bool]:
    page = (await client.get(URL, params=query)).json()
    ids = [video["id"] for video in page["data"]]
    assert page["object"] == "list"
    assert (page["first_id"], page["last_id"]) == ((ids[0], ids[-1]) if ids else (None, None))
    return ids, page["has_more"]


async def test_videos_are_listed_page_by_page(client: httpx.AsyncClient, five: list[str]) -> None:
    assert await listed(client) == (five[::-1], False)
    assert await listed(client, order="asc", limit=2) == (five[:2], True)
    assert await listed(client, order="asc", limit=2, after=five[1]) == (five[2:4], True)
    assert await listed(client, order="asc", limit=2, after=five[3]) == (five[4:], False)
    assert await listed(client, limit=100, after=five[1]) == ([five[0]], False)
    assert await listed(client, limit=0) == ([], True)


async def test_twenty_are_listed_where_nobody_says_how_many(client: httpx.AsyncClient) -> None:
    ids = [(await create(client, seed=i)).json()["id"] for i in range(21)]
    assert await listed(client) == (ids[:0:-1], True)


async def test_images_are_no_videos(client: httpx.AsyncClient, app: FastAPI) -> None:
    from tests.frontend.jobs.specs import image_spec

    await app.state.services.jobs.submit(image_spec())
    assert await listed(client) == ([], False)
    assert (await client.get(f"{URL}/image_1")).status_code == 404
    assert (await client.get(URL, params={"after": "image_1"})).status_code == 404


@pytest.mark.parametrize(
    ("query", "status", "param"),
    [
        ({"limit": 101}, 422, "limit"),
        ({"limit": -1}, 422, "limit"),
        ({"limit": "x"}, 422, "limit"),
        ({"order": "up"}, 422, "order"),
        ({"after": "video_x"}, 404, "after"),
        ({"after": "\0"}, 404, "after"),
        ({"after": "x" * 10_000}, 404, "after"),
    ],
)
async def test_a_wrong_page_names_its_field(
    client: httpx.AsyncClient, query: dict[str, Any], status: int, param: str
) -> None:
    response = await client.get(URL, params=query)
    assert (response.status_code, error_of(response)["param"]) == (status, param)


# Deletion


async def test_a_video_that_is_deleted_is_gone_with_its_files(client: httpx.AsyncClient, app: FastAPI) -> None:
    made = (await post_json(client)).json()
    url = f"{URL}/{made['id']}"
    await client.get(f"{url}/content", params={"variant": "thumbnail"})
    deleted = await client.delete(url)
    assert (deleted.status_code, deleted.json()) == (
        200,
        {"id": made["id"], "object": "video.deleted", "deleted": True},
    )
    for path in (url, f"{url}/content"):
        assert (await client.get(path)).status_code == 404
    assert (await client.delete(url)).status_code == 404
    assert [file async for file in app.state.services.storage.list()] == []
    assert await listed(client) == ([], False)


async def test_a_video_that_is_deleted_while_it_is_made_stops(
    client: httpx.AsyncClient, app: FastAPI, generator: FakeGenerator
) -> None:
    generator.step_gate.clear()
    waiting = asyncio.create_task(post_json(client))
    await until(lambda: len(generator.jobs) == 1)
    ((video_id,), _) = await listed(client)
    assert (await client.delete(f"{URL}/{video_id}")).json()["deleted"] is True
    assert generator.cancelled == list(generator.jobs)
    told = await waiting
    assert (told.status_code, error_of(told)["code"]) == (409, "job_cancelled")
    assert told.headers["X-Should-Retry"] == "false"
    assert (await client.get(f"{URL}/{video_id}")).status_code == 404


# Files


async def test_each_of_several_videos_can_be_downloaded(client: httpx.AsyncClient) -> None:
    made = (await post_json(client, n=3, seed=5)).json()
    url = f"{URL}/{made['id']}/content"
    for index, entry in enumerate(made["data"]):
        content = await client.get(url, params={"index": index})
        assert content.content == base64.b64decode(entry["b64_json"])
        assert (await client.get(entry["url"])).content == content.content
    assert made["urls"] == [entry["url"] for entry in made["data"]]
    wrong = await client.get(url, params={"index": 3})
    assert (wrong.status_code, error_of(wrong)["message"]) == (400, "index: must be from 0 to 2, got 3")


async def test_a_thumbnail_and_a_sprite_sheet_are_made_once(client: httpx.AsyncClient, app: FastAPI) -> None:
    made = (await post_json(client, size="64x32", seconds=4)).json()
    url = f"{URL}/{made['id']}/content"
    thumbnail = await client.get(url, params={"variant": "thumbnail"})
    sheet = await client.get(url, params={"variant": "spritesheet"})
    for still, media_type, size in ((thumbnail, "image/webp", (64, 32)), (sheet, "image/jpeg", (256, 128))):
        assert still.headers["Content-Type"] == media_type
        with Image.open(io.BytesIO(still.content)) as image:
            assert (image.size, f"image/{image.format}".lower()) == (size, media_type)
    # The generator's frames are grey, and lighter from chunk to chunk.
    with Image.open(io.BytesIO(sheet.content)) as image:
        pixels = np.asarray(image.convert("L"))
    greys = [int(pixels[32 * (tile // 4) + 16, 64 * (tile % 4) + 32]) for tile in range(16)]
    assert greys == sorted(greys)
    assert greys[-1] > greys[0]
    kept = sorted([file.name.kind async for file in app.state.services.storage.list(made["id"])])
    assert kept == ["spritesheet", "thumbnail", "video"]
    again = await client.get(url, params={"variant": "thumbnail"}, headers={"Range": "bytes=0-3"})
    assert (again.status_code, again.content, again.headers["ETag"]) == (206, b"RIFF", thumbnail.headers["ETag"])


# Remixes


async def test_a_remix_is_the_same_video_of_another_prompt(client: httpx.AsyncClient, generator: FakeGenerator) -> None:
    made = (await post_json(client, seed=7, n=2, fps=10, num_inference_steps=2)).json()
    generator.jobs.clear()
    remix = (await client.post(f"{URL}/{made['id']}/remix", json={"prompt": "a dog", "sedd": 1})).json()
    assert (remix["status"], remix["remixed_from_video_id"], remix["prompt"]) == ("completed", made["id"], "a dog")
    assert remix["warnings"] == ["unknown field 'sedd' has no effect"]
    assert {name: remix[name] for name in ("size", "fps", "params", "model")} == {
        name: made[name] for name in ("size", "fps", "params", "model")
    }
    assert [job.seed for job in generator.jobs.values()] == [7, 8]
    assert {job.prompt for job in generator.jobs.values()} == {"a dog"}
    assert made["id"] != remix["id"]


async def test_a_remix_of_a_video_from_an_image_starts_from_its_first_frame(
    client: httpx.AsyncClient, generator: FakeGenerator
) -> None:
    made = (await post_json(client, image_file(64, 48))).json()
    generator.jobs.clear()
    remix = await client.post(f"{URL}/{made['id']}/remix", data={"prompt": "a dog"}, headers=ASYNC)
    assert remix.headers["Preference-Applied"] == "respond-async"
    assert (await ended(client, remix.json()["id"]))["size"] == "64x48"
    (job,) = generator.jobs.values()
    assert job.image is not None
    assert job.image.shape == (48, 64, 3)
    assert job.image.max() < 8  # the generator's first frame is black


async def test_a_remix_needs_a_finished_video_and_a_prompt(client: httpx.AsyncClient, generator: FakeGenerator) -> None:
    generator.step_gate.clear()
    video_id = (await create(client)).json()["id"]
    for path, body, status, code in (
        (video_id, {"prompt": "x"}, 409, "video_not_ready"),
        ("video_x", {"prompt": "x"}, 404, "video_not_found"),
        (video_id, {}, 422, "missing_required_parameter"),
    ):
        response = await client.post(f"{URL}/{path}/remix", json=body)
        assert (response.status_code, error_of(response)["code"]) == (status, code)


# Extensions


def frames_of(content: bytes) -> list[int]:
    """How light each frame is, of a video of grey frames."""
    with av.open(io.BytesIO(content), "r") as container:
        return [round(frame.to_ndarray(format="gray").mean()) for frame in container.decode(video=0)]


@pytest.mark.parametrize("form", [True, False])
async def test_an_extended_video_is_the_old_one_and_what_comes_after_it(
    client: httpx.AsyncClient, generator: FakeGenerator, form: bool
) -> None:
    made = (await post_json(client, size="32x16", seconds=1)).json()
    generator.jobs.clear()
    if form:
        fields = {"prompt": "and back", "seconds": "2", "video[id]": made["id"]}
        response = await client.post(f"{URL}/extensions", data=fields)
    else:
        body = {"prompt": "and back", "seconds": 2, "video": {"id": made["id"]}}
        response = await client.post(f"{URL}/extensions", json=body)
    longer = response.json()
    assert (response.status_code, longer["model"], longer["size"]) == (200, "toy-wan-i2v", "32x16")
    assert (longer["num_frames"], longer["seconds"], longer["prompt"]) == (9 + 16, "3.125", "and back")
    (job,) = generator.jobs.values()
    assert job.image is not None
    assert (job.num_frames, job.image.shape) == (17, (16, 32, 3))
    old, new = [frames_of((await client.get(video["url"])).content) for video in (made, longer)]
    assert abs(int(job.image.mean()) - old[-1] * 255 / 219) < 16  # its last frame
    assert len(new) == 25
    assert all(abs(a - b) <= 1 for a, b in zip(new, old, strict=False))
    assert new[9:] == sorted(new[9:])
    assert (await client.get(f"{URL}/{longer['id']}/content", params={"variant": "spritesheet"})).status_code == 200
    again = await client.post(
        f"{URL}/extensions", json={"prompt": "x", "seconds": 1, "video": {"id": longer["id"]}}, headers=ASYNC
    )
    assert (await ended(client, again.json()["id"]))["num_frames"] == 25 + 8


@pytest.mark.parametrize(
    ("fields", "status", "param"),
    [
        ({"video[id]": "video_x"}, 404, "video_id"),
        ({}, 400, "video"),
        ({"video[id]": "video_x", "seconds": "0"}, 422, "seconds"),
    ],
)
async def test_an_extension_needs_a_video_and_a_length(
    client: httpx.AsyncClient, fields: dict[str, str], status: int, param: str
) -> None:
    response = await client.post(f"{URL}/extensions", data={"prompt": "x", "seconds": "1"} | fields)
    assert (response.status_code, error_of(response)["param"]) == (status, param)


async def test_a_video_that_is_uploaded_is_not_extended(client: httpx.AsyncClient) -> None:
    files = {"video": ("a.mp4", b"x")}
    response = await client.post(f"{URL}/extensions", data={"prompt": "x", "seconds": "1"}, files=files)
    assert (response.status_code, error_of(response)["param"]) == (400, "video")


async def test_without_a_model_that_starts_from_images_an_extension_is_501() -> None:
    async with client_of(create_app(generator=FakeGenerator([model_card()]))) as client:
        made = (await post_json(client)).json()
        body = {"prompt": "x", "seconds": 1, "video": {"id": made["id"]}}
        response = await client.post(f"{URL}/extensions", json=body)
    assert (response.status_code, error_of(response)["code"]) == (501, "not_implemented")
    assert "no served model does image-to-video" in error_of(response)["message"]


async def test_what_no_model_can_do_is_501(client: httpx.AsyncClient) -> None:
    response = await client.post(f"{URL}/edits", json={"prompt": "x", "video": {"id": "video_x"}})
    assert (response.status_code, error_of(response)["code"]) == (501, "not_implemented")
    assert response.headers["X-Should-Retry"] == "false"


# The answer that is the file


@pytest.mark.parametrize("image", [None, image_file()])
async def test_a_create_may_answer_with_the_file_itself(client: httpx.AsyncClient, image: bytes | None) -> None:
    reference = {"input_reference": {"image_url": data_uri(image)}} if image else {}
    response = await client.post(f"{URL}/sync", json={"prompt": "x"} | reference)
    assert (response.status_code, response.headers["Content-Type"]) == (200, "video/mp4")
    assert response.headers["X-Model"] == ("toy-wan-i2v" if image else "toy-wan-t2v")
    assert float(response.headers["X-Inference-Time-S"]) >= 0
    assert json.loads(response.headers["X-Stage-Durations"])["denoise_seconds"] == 0.3
    assert response.headers["X-Request-Id"]
    with av.open(io.BytesIO(response.content), "r") as container:
        assert len(list(container.decode(video=0))) == 9
    kept = await client.get(f"{URL}/{response.headers['X-Video-Id']}/content")
    assert kept.content == response.content


async def test_a_file_is_one(client: httpx.AsyncClient) -> None:
    response = await client.post(f"{URL}/sync", data={"prompt": "x", "n": "2"})
    assert (response.status_code, error_of(response)["param"]) == (400, "n")
