import re

import httpx
import pytest

from frontend.http.request_id import current_request_id


@pytest.mark.parametrize("given", ["a", "0f-A.b_9", "x" * 64])
async def test_a_sane_id_is_taken(client: httpx.AsyncClient, given: str) -> None:
    response = await client.get("/health/live", headers={"X-Request-Id": given})
    assert response.headers["X-Request-Id"] == given


@pytest.mark.parametrize("given", [None, "", "x" * 65, "a b", "a/b", "ä".encode(), "a\tb"])
async def test_another_is_replaced(client: httpx.AsyncClient, given: str | bytes | None) -> None:
    name = b"X-Request-Id"
    headers = {} if given is None else {name: given if isinstance(given, bytes) else given.encode()}
    ids = {(await client.get("/health/live", headers=headers)).headers["X-Request-Id"] for _ in range(2)}
    assert len(ids) == 2
    assert all(re.fullmatch(r"[0-9a-f]{32}", made) for made in ids)


@pytest.mark.parametrize("path", ["/nothing", "/v1/models/none"])
async def test_errors_have_one_too(client: httpx.AsyncClient, path: str) -> None:
    response = await client.get(path, headers={"X-Request-Id": "me"})
    assert response.status_code == 404
    assert response.headers["X-Request-Id"] == "me"


def test_outside_of_a_request_there_is_none() -> None:
    assert current_request_id() == ""
