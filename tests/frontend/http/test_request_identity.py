"""What tells requests for jobs from each other."""

from typing import Any

import pytest
from fastapi import Request

from frontend.http.authentication import KEY_NAME
from frontend.http.request_identity import RequestIdentity, identity_of
from frontend.schemas.videos_generations import VideoGenerationRequest


def identity(
    *, path: str = "/v1/videos", owner: str | None = None, upload: bytes | None = None, **fields: Any
) -> RequestIdentity:
    scope: dict[str, Any] = {
        "type": "http",
        "method": "POST",
        "path": path,
        "headers": [],
        "query_string": b"",
        KEY_NAME: owner,
    }
    scope |= {"server": ("127.0.0.1", 8000), "scheme": "http"}
    return identity_of(Request(scope), VideoGenerationRequest(**{"prompt": "a fox", **fields}), upload)


def test_equal_requests_are_equal() -> None:
    assert identity(seed=1, owner="ann") == identity(seed=1, owner="ann")
    assert identity(owner="ann").owner == "ann"
    assert identity().owner is None


@pytest.mark.parametrize(
    "other",
    [{"seed": 1}, {"prompt": "a dog"}, {"owner": "ann"}, {"path": "/v1/images"}, {"upload": b"x"}, {"unknown": [1]}],
    ids=str,
)
def test_whatever_differs_makes_another_request(other: dict[str, Any]) -> None:
    assert identity(**other).request_hash != identity().request_hash


def test_text_that_is_no_text_is_told_apart_too() -> None:
    assert identity(unknown="\ud800").request_hash != identity(unknown="\ud801").request_hash
