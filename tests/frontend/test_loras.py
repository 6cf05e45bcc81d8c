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
BROKEN = LoraInfo(name="broken", bytes=7, error="adapter 'broken' cannot be used: it is cut off")
BOTH = LoraInfo(name="both", rank=8, bytes=2048, models=["toy-wan-t2v", "toy-qwen-image"])


@pytest.fixture
def generator() -> FakeGenerator:
    generator = FakeGenerator([model_card(), text_to_image_card()])
    generator.adapters = [INK, FOIL, BOTH, BROKEN]
    return generator


async def test_adapters_are_listed_with_what_they_fit(client: httpx.AsyncClient) -> None:
    response = await client.get("/v1/loras")
    assert response.status_code == 200
    body = response.json()
    assert body["object"] == "list"
    assert body["data"][0] == {"name": "ink", "rank": 16, "bytes": 4096, "models": ["toy-wan-t2v"], "object": "lora"}
    assert [lora["name"] for lora in body["data"]] == ["ink", "foil", "both", "broken"]


async def test_one_that_cannot_be_used_is_listed_with_the_reason(client: httpx.AsyncClient) -> None:
    assert (await client.get("/v1/loras")).json()["data"][-1] == {
        "name": "broken",
        "bytes": 7,
        "models": [],
        "error": "adapter 'broken' cannot be used: it is cut off",
        "object": "lora",
    }


async def test_what_is_left_out_of_an_adapter_is_named_once(
    client: httpx.AsyncClient, generator: FakeGenerator
) -> None:
    """Beside what of the request was not done as written, and not for each video again."""
    generator.warnings = ("adapter 'ink': left out what toy-wan-t2v lacks: k_img",)
    body = {"prompt": "x", "model": "toy-wan-t2v", "n": 2, "lora": {"name": "ink"}, "colour": 1}
    for route in ("/v1/videos/generations", "/v1/videos"):
        answer = await client.post(route, json=body)
        assert answer.json()["warnings"] == ["unknown field 'colour' has no effect", *generator.warnings]


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
