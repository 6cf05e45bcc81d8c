import time

import httpx
import pytest

from frontend.app import create_app
from frontend.errors import EngineUnavailable
from tests.frontend.conftest import client_of
from tests.frontend.fake_generator import FakeGenerator
from tests.frontend.test_video_request import error_of
from tests.model_cards import model_card


async def test_the_list_has_openais_shape_and_our_limits(client: httpx.AsyncClient) -> None:
    body = (await client.get("/v1/models")).json()
    assert body["object"] == "list"
    (model,) = body["data"]
    assert abs(model.pop("created") - time.time()) < 60
    card = model_card()
    assert model == {
        "id": "toy-wan-t2v",
        "object": "model",
        "owned_by": "tritonreel",
        "family": "wan_t2v",
        "tasks": ["text-to-video"],
        "solvers": ["unipc", "euler"],
        "defaults": card.defaults.model_dump(),
        "limits": card.limits.model_dump(mode="json") | {"max_sequence_length": 8},
    }


@pytest.mark.parametrize("model_id", ["plain", "org/name"])
async def test_one_model(model_id: str) -> None:
    generator = FakeGenerator([model_card("plain"), model_card("org/name")])
    async with client_of(create_app(generator=generator)) as client:
        response = await client.get(f"/v1/models/{model_id}")
    assert response.status_code == 200
    assert response.json()["id"] == model_id


async def test_an_unknown_model_is_404(client: httpx.AsyncClient) -> None:
    response = await client.get("/v1/models/org/none")
    assert response.status_code == 404
    assert error_of(response) == {
        "message": "model: there is no model 'org/none'; served here: toy-wan-t2v",
        "type": "invalid_request_error",
        "param": "model",
        "code": "model_not_found",
    }


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/toy-wan-t2v"])
async def test_without_triton_it_is_503(client: httpx.AsyncClient, generator: FakeGenerator, path: str) -> None:
    generator.describe_error = EngineUnavailable("away")
    response = await client.get(path)
    assert response.status_code == 503
    assert "Retry-After" in response.headers
