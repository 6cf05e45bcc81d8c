"""Whose videos a request sees, and URLs that need no key."""

import re
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from frontend.app import create_app
from frontend.http.api_keys import KeyFile
from frontend.settings import Settings
from tests.frontend.conftest import NOWHERE, client_of
from tests.frontend.fake_generator import FakeGenerator
from tests.frontend.test_video_request import error_of
from tests.model_cards import model_card, text_to_image_card

URL = "/v1/videos"


@pytest.fixture
def generator() -> FakeGenerator:
    return FakeGenerator([model_card(), text_to_image_card()])


@pytest.fixture
def file(tmp_path: Path) -> KeyFile:
    return KeyFile(tmp_path / "keys.json")


@pytest.fixture
def settings(file: KeyFile) -> Settings:
    return Settings(triton_metrics_url=NOWHERE, keys_file=file.path, allowed_hosts=("video.example.com",))


@pytest.fixture
def bearers(file: KeyFile) -> dict[str, dict[str, str]]:
    """The headers of each key; root's is an administrator's."""
    keys = {name: file.add(name, admin=name == "root") for name in ("ann", "bob", "root")}
    return {name: {"Authorization": f"Bearer {key}"} for name, key in keys.items()}


@pytest.fixture
async def client(bearers: dict[str, Any], settings: Settings, generator: FakeGenerator) -> AsyncIterator[Any]:
    """Made after the keys."""
    async with client_of(create_app(settings, generator)) as client:
        yield client


@pytest.fixture
async def video(client: httpx.AsyncClient, bearers: dict[str, Any]) -> dict[str, Any]:
    """Ann's."""
    made: dict[str, Any] = (await client.post(URL, json={"prompt": "x", "n": 2}, headers=bearers["ann"])).json()
    return made


# Owners


async def test_a_key_sees_its_own_videos_and_an_administrators_all(
    client: httpx.AsyncClient, bearers: dict[str, Any], video: dict[str, Any]
) -> None:
    bobs = (await client.post(URL, json={"prompt": "x"}, headers=bearers["bob"])).json()
    for name, visible in (("ann", [video]), ("bob", [bobs]), ("root", [bobs, video])):
        page = (await client.get(URL, headers=bearers[name])).json()
        assert [one["id"] for one in page["data"]] == [one["id"] for one in visible]
    after = await client.get(URL, params={"after": video["id"]}, headers=bearers["bob"])
    assert (after.status_code, error_of(after)["param"]) == (404, "after")


async def test_another_keys_job_is_as_if_there_were_none(
    client: httpx.AsyncClient, bearers: dict[str, Any], video: dict[str, Any]
) -> None:
    asked = {"Prefer": "wait=0"} | bearers["ann"]
    image = (await client.post("/v1/images/generations", json={"prompt": "x"}, headers=asked)).json()
    for name, visible in (("ann", [image["id"], video["id"]]), ("bob", []), ("root", [image["id"], video["id"]])):
        page = (await client.get("/v1/jobs", params={"search": "X"}, headers=bearers[name])).json()
        assert [job["id"] for job in page["data"]] == visible
    after = await client.get("/v1/jobs", params={"after": image["id"]}, headers=bearers["bob"])
    assert (after.status_code, error_of(after)["code"]) == (404, "job_not_found")
    for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/events")):
        answer = await client.request(method, f"/v1/jobs/{image['id']}{path}", headers=bearers["bob"])
        assert (answer.status_code, error_of(answer)["code"]) == (404, "job_not_found")
    assert (await client.get("/v1/jobs")).status_code == 401
    thumbnails = (await client.get(f"/v1/jobs/{video['id']}", headers=bearers["ann"])).json()["files"]
    for file in thumbnails:
        assert (await client.get(file["thumbnail_url"])).headers["Content-Type"] == "image/webp"
        assert (await client.get(file["thumbnail_url"].replace("thumbnail", "video"))).status_code == 403


async def test_another_keys_video_is_as_if_there_were_none(
    client: httpx.AsyncClient, bearers: dict[str, Any], video: dict[str, Any]
) -> None:
    requests: list[tuple[str, str, Any]] = [
        ("GET", "", None),
        ("GET", "/content", None),
        ("POST", "/remix", {"prompt": "y"}),
        ("DELETE", "", None),
    ]
    for method, path, body in requests:
        answers = [
            await client.request(method, f"{URL}/{video_id}{path}", json=body, headers=bearers["bob"])
            for video_id in (video["id"], "video_x")
        ]
        assert [answer.status_code for answer in answers] == [404, 404]
        messages = [error_of(answer)["message"] for answer in answers]
        assert messages[0].replace(video["id"], "video_x") == messages[1]
    for name in ("root", "ann"):
        for _, path, _ in requests[:2]:
            assert (await client.get(f"{URL}/{video['id']}{path}", headers=bearers[name])).status_code == 200
    assert (await client.delete(f"{URL}/{video['id']}", headers=bearers["root"])).status_code == 200


async def test_the_environments_key_and_a_server_without_keys_see_all(generator: FakeGenerator, tmp_path: Path) -> None:
    key = "an environment key".replace(" ", "-")
    for settings, headers in (
        (Settings(keys_file=tmp_path / "none.json", api_key=SecretStr(key)), {"Authorization": f"Bearer {key}"}),
        (Settings(keys_file=tmp_path / "none.json"), {}),
    ):
        app = create_app(settings, generator)
        async with client_of(app) as client:
            made = (await client.post(URL, json={"prompt": "x"}, headers=headers)).json()
            assert (await client.get(f"{URL}/{made['id']}", headers=headers)).status_code == 200
            assert len((await client.get(URL, headers=headers)).json()["data"]) == 1


# Signed URLs


async def test_a_signed_url_needs_no_key(client: httpx.AsyncClient, video: dict[str, Any]) -> None:
    assert (await client.get(f"{URL}/{video['id']}/content")).status_code == 401
    contents = [await client.get(url) for url in video["urls"]]
    assert [content.status_code for content in contents] == [200, 200]
    assert (await client.head(video["url"])).headers["Content-Length"] == str(len(contents[0].content))
    part = await client.get(video["url"], headers={"Range": "bytes=4-7"})
    assert (part.status_code, part.content) == (206, b"ftyp")
    for entry, url in zip(video["data"], video["urls"], strict=True):
        assert entry["url"] == url


async def test_a_signed_url_is_for_one_file_and_to_be_read(
    client: httpx.AsyncClient, video: dict[str, Any], bearers: dict[str, Any]
) -> None:
    url = video["urls"][1]
    for wrong in (
        url.replace("index=1", "index=0"),
        url.replace("index=1&", ""),
        url + "&variant=thumbnail",
        url + "&signature=x",
        url[:-1],
        re.sub(r"expires=\d", "expires=9", url),
        url.replace("/content", ""),
        url.replace(video["id"], "video_x"),
        url.replace("signature=", "signature=%FF"),
    ):
        refused = await client.get(wrong)
        assert (refused.status_code, error_of(refused)["code"]) == (403, "invalid_signature"), wrong
        assert (await client.get(wrong, headers=bearers["ann"])).status_code == 403
    for method in ("POST", "DELETE"):
        assert (await client.request(method, url)).status_code == 401


async def test_a_signed_url_expires(client: httpx.AsyncClient, video: dict[str, Any], monkeypatch: Any) -> None:
    expires = int(re.search(r"expires=(\d+)", video["url"])[1])  # type: ignore[index]
    assert 3600 <= expires - time.time() <= 3600 + 901
    monkeypatch.setattr(time, "time", lambda: expires - 0.5)
    assert (await client.get(video["url"])).status_code == 200
    monkeypatch.setattr(time, "time", lambda: expires + 0.5)
    refused = await client.get(video["url"])
    assert (refused.status_code, error_of(refused)["code"]) == (403, "invalid_signature")
    assert "has expired" in error_of(refused)["message"]


async def test_what_is_asked_for_again_has_a_new_url_by_then(
    client: httpx.AsyncClient, video: dict[str, Any], bearers: dict[str, Any], monkeypatch: Any
) -> None:
    async def url() -> str:
        return str((await client.get(f"{URL}/{video['id']}", headers=bearers["ann"])).json()["url"])

    assert await url() == video["url"]
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 3000)
    later = await url()
    assert later != video["url"]
    assert (await client.get(later)).status_code == 200


@pytest.mark.parametrize("path", ["/v1/images/generations", "/v1/videos/generations"])
async def test_a_create_may_answer_with_urls_alone(
    client: httpx.AsyncClient, bearers: dict[str, Any], path: str
) -> None:
    body = {"prompt": "x", "n": 2, "response_format": "url"}
    made = (await client.post(path, json=body, headers=bearers["ann"])).json()
    for entry in made["data"]:
        assert "b64_json" not in entry
        assert (await client.get(entry["url"])).status_code == 200
    assert len({(await client.get(entry["url"])).url.query for entry in made["data"]}) == 2


async def test_an_image_is_its_keys_own_too(client: httpx.AsyncClient, bearers: dict[str, Any]) -> None:
    body = {"prompt": "x", "response_format": "url", "output_format": "webp"}
    made = (await client.post("/v1/images/generations", json=body, headers=bearers["ann"])).json()
    path = httpx.URL(made["data"][0]["url"]).path
    content = await client.get(path, headers=bearers["ann"])
    assert (content.status_code, content.headers["Content-Type"]) == (200, "image/webp")
    other = await client.get(path, headers=bearers["bob"])
    assert (other.status_code, error_of(other)["code"]) == (404, "image_not_found")
    assert (await client.get(path)).status_code == 401
    assert (await client.get(path.replace("images", "videos"), headers=bearers["ann"])).status_code == 404


@pytest.mark.parametrize(
    ("host", "base"),
    [
        ("localhost:9000", "http://localhost:9000"),
        ("Video.Example.com", "http://video.example.com"),
        ("[::1]:8000", "http://[::1]:8000"),
    ],
)
async def test_a_url_leads_to_the_host_that_the_client_calls(
    client: httpx.AsyncClient, bearers: dict[str, Any], video: dict[str, Any], host: str, base: str
) -> None:
    forged = {"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "ftp", "Forwarded": "host=evil.example"}
    headers = bearers["ann"] | {"Host": host} | forged
    answer = await client.get(f"{URL}/{video['id']}", headers=headers)
    assert answer.json()["url"].startswith(f"{base}/v1/videos/{video['id']}/content?")
    assert (await client.get(f"{URL}/{video['id']}", headers=headers | {"Host": "evil.example"})).status_code == 421


async def test_behind_a_proxy_the_server_is_told_where_it_is(generator: FakeGenerator, app: FastAPI) -> None:
    settings = Settings(public_url="https://Video.example.com/")
    async with client_of(create_app(settings, generator)) as client:
        made = (await client.post(URL, json={"prompt": "x"})).json()
    assert made["url"].startswith("https://video.example.com/v1/videos/")


@pytest.mark.parametrize(
    "wrong", ["video.example.com", "https://a.example,https://b.example", "https://a.example/path"]
)
def test_a_public_url_is_one_origin(wrong: str) -> None:
    with pytest.raises(ValueError, match="public_url"):
        Settings(public_url=wrong)


async def test_the_log_holds_no_signature(
    client: httpx.AsyncClient, video: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    await client.get(video["url"])
    await client.get(video["url"] + "x")
    signature = video["url"].rpartition("signature=")[2]
    assert caplog.records
    assert signature not in caplog.text
