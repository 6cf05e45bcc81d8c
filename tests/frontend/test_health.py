import httpx
import pytest

from frontend.errors import EngineFailed, EngineUnavailable
from tests.frontend.fake_generator import FakeGenerator

READY = ["/health", "/health/ready"]


@pytest.mark.parametrize("path", [*READY, "/health/live"])
async def test_all_is_well(client: httpx.AsyncClient, path: str) -> None:
    response = await client.get(path)
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


@pytest.mark.parametrize("error", [EngineUnavailable("'wan_vae' is not ready"), EngineFailed("'wan_vae' is not ready")])
async def test_without_triton_this_process_lives_and_is_not_ready(
    client: httpx.AsyncClient, generator: FakeGenerator, error: Exception
) -> None:
    generator.describe_error = error
    for path in READY:
        response = await client.get(path)
        assert response.status_code == 503
        assert response.json() == {"status": "unavailable", "reason": "'wan_vae' is not ready"}
    assert (await client.get("/health/live")).status_code == 200
