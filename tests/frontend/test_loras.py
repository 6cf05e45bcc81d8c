"""`GET /v1/loras`."""

import httpx
import pytest

from frontend.app import create_app
from frontend.errors import EngineUnavailable
from protocol.lora import LoraInfo
from tests.frontend.conftest import client_of
from tests.frontend.fake_generator import FakeGenerator
from tests.frontend.test_video_request import error_of
from tests.model_cards import model_card, text_to_image_card

INK = LoraInfo(name="ink", rank=16, bytes=4096, models=["toy-wan-t2v"])
FOIL = LoraInfo(name="foil", rank=4, bytes=1024, models=["toy-qwen-image"])
BOTH = LoraInfo(name="both", rank=8, bytes=2048, models=["toy-wan-t2v", "toy-qwen-image"])


@pytest.fixture
def generator() -> FakeGenerator:
    generator = FakeGenerator([model_card(), text_to_image_card()])
    generator.adapters = [INK, FOIL, BOTH]
    return generator


async def test_adapters_are_listed_with_what_they_fit(client: httpx.AsyncClient) -> None:
    response = await client.get("/v1/loras")
    assert response.status_code == 200
    body = response.json()
    assert body["object"] == "list"
    assert body["data"][0] == {"name": "ink", "rank": 16, "bytes": 4096, "models": ["toy-wan-t2v"], "object": "lora"}
    assert [lora["name"] for lora in body["data"]] == ["ink", "foil", "both"]


@pytest.mark.parametrize(("model", "names"), [("toy-wan-t2v", ["ink", "both"]), ("toy-qwen-image", ["foil", "both"])])
async def test_those_for_one_model(client: httpx.AsyncClient, model: str, names: list[str]) -> None:
    body = (await client.get("/v1/loras", params={"model": model})).json()
    assert [lora["name"] for lora in body["data"]] == names


async def test_an_unknown_model_is_404(client: httpx.AsyncClient) -> None:
    response = await client.get("/v1/loras", params={"model": "sora"})
    assert (response.status_code, error_of(response)["param"]) == (404, "model")


async def test_without_adapters_the_list_is_empty() -> None:
    async with client_of(create_app(generator=FakeGenerator())) as client:
        assert (await client.get("/v1/loras")).json() == {"object": "list", "data": []}


async def test_without_triton_it_is_503(client: httpx.AsyncClient, generator: FakeGenerator) -> None:
    generator.describe_error = EngineUnavailable("away")
    response = await client.get("/v1/loras")
    assert response.status_code == 503
    assert "Retry-After" in response.headers
