"""`POST /v1/videos` with an image that is behind a URL."""

import asyncio
from dataclasses import replace

import httpx
import pytest
from fastapi import FastAPI

from frontend.app import create_app
from frontend.http.public_network import PublicNetwork
from frontend.media.image_fetcher import ImageFetcher
from frontend.settings import Settings
from tests.frontend.conftest import NOWHERE, Serve, client_of
from tests.frontend.fake_generator import FakeGenerator
from tests.frontend.media.image_server import (
    ADDRESS,
    Certificates,
    ImageServer,
    stands_for_public,
)
from tests.frontend.test_video_request import error_of, only_job
from tests.frontend.test_videos import URL, image_file
from tests.model_cards import image_to_video_card, model_card
from tests.waiting import SECONDS, until

FIELD = "input_reference.image_url"


@pytest.fixture
def generator() -> FakeGenerator:
    return FakeGenerator([model_card(), image_to_video_card()])


@pytest.fixture
def app(app: FastAPI, certificates: Certificates) -> FastAPI:
    """For which every name is the server's."""
    network = PublicNetwork(stands_for_public, lambda host: [ADDRESS])
    fetcher = ImageFetcher(
        ("https",), 100_000, certificates.client(), seconds=SECONDS, connect_seconds=SECONDS, network=network
    )
    app.state.services = replace(app.state.services, image_fetcher=fetcher)
    return app


async def create(client: httpx.AsyncClient, url: str, **headers: str) -> httpx.Response:
    body = {"prompt": "x", "input_reference": {"image_url": url}}
    return await client.post(URL, json=body, headers=headers, timeout=SECONDS)


async def test_the_video_starts_from_the_image(
    client: httpx.AsyncClient, generator: FakeGenerator, image_server: ImageServer
) -> None:
    response = await create(client, image_server.file_at("/a", image_file()))
    assert (response.status_code, response.json()["size"]) == (200, "64x48")
    assert only_job(generator).image[0, 0].tolist() == [255, 0, 0]


async def test_a_form_names_it_likewise(
    client: httpx.AsyncClient, generator: FakeGenerator, image_server: ImageServer
) -> None:
    fields = {"prompt": "x", "input_reference[image_url]": image_server.file_at("/a", image_file())}
    assert (await client.post(URL, data=fields)).status_code == 200
    assert only_job(generator).image.shape == (48, 64, 3)


async def test_a_create_that_is_sent_again_fetches_nothing(
    client: httpx.AsyncClient, generator: FakeGenerator, image_server: ImageServer
) -> None:
    url = image_server.file_at("/a", image_file())
    first, again = [await create(client, url, **{"Idempotency-Key": "a"}) for _ in range(2)]
    assert first.json()["id"] == again.json()["id"]
    assert (len(image_server.heads), len(generator.jobs)) == (1, 1)
    other = await create(client, url + "?other", **{"Idempotency-Key": "a"})
    assert (other.status_code, error_of(other)["code"]) == (422, "idempotency_key_reused")
    assert len(image_server.heads) == 1


@pytest.mark.parametrize(
    ("answer", "field", "message"),
    [
        (
            b"HTTP/1.1 404 SECRET\r\n\r\nSECRET",
            FIELD,
            "the image cannot be fetched: images.test answered with status 404",
        ),
        (b"HTTP/1.1 200 OK\r\n\r\nSECRET", FIELD, "must be a PNG, JPEG or WebP image"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + image_file()[:90], "input_reference", "the image is truncated or broken"),
    ],
    ids=range(3),
)
async def test_a_bad_one_is_400_and_there_is_no_job(
    client: httpx.AsyncClient,
    generator: FakeGenerator,
    image_server: ImageServer,
    answer: bytes,
    field: str,
    message: str,
) -> None:
    response = await create(client, image_server.bytes_at("/a", answer) + "?signature=SECRET")
    error = error_of(response)
    assert (response.status_code, error["code"], error["param"]) == (400, "invalid_image", field)
    assert error["message"] == f"{field}: {message}"
    assert "SECRET" not in response.text
    assert generator.jobs == {}


async def test_nothing_is_fetched_for_a_model_that_is_not_there(
    client: httpx.AsyncClient, image_server: ImageServer
) -> None:
    body = {"prompt": "x", "model": "other", "input_reference": {"image_url": image_server.file_at("/a", image_file())}}
    assert (await client.post(URL, json=body)).status_code == 404
    assert image_server.heads == []


async def test_a_client_that_leaves_stops_the_fetch(
    serve: Serve, app: FastAPI, generator: FakeGenerator, image_server: ImageServer
) -> None:
    async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    image_url = image_server.answer_at("/a", silent)
    with serve(app) as url:
        async with httpx.AsyncClient(base_url=url) as client:
            asking = asyncio.create_task(create(client, image_url))
            await until(lambda: len(image_server.heads) == 1)
            asking.cancel()
            await until(lambda: image_server.ended == 1)
    assert generator.jobs == {}


@pytest.mark.parametrize(
    ("fetch_urls", "message"),
    [
        ("https", f"{FIELD}: the image cannot be fetched: localhost has no public address"),
        ("off", f"{FIELD}: must be a data: URI in base64, this server does not fetch other URLs"),
    ],
)
async def test_the_settings_say_what_is_fetched(
    generator: FakeGenerator, image_server: ImageServer, monkeypatch: pytest.MonkeyPatch, fetch_urls: str, message: str
) -> None:
    """By the rules that a server really has."""
    monkeypatch.setenv("TRITONREEL_FETCH_URLS", fetch_urls)
    image_server.file_at("/a", image_file())
    async with client_of(create_app(Settings(triton_metrics_url=NOWHERE), generator)) as client:
        response = await create(client, image_server.url("/a?SECRET", "localhost"))
    assert (response.status_code, error_of(response)["message"]) == (400, message)
    assert image_server.ended == 0
