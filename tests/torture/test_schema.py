"""Requests made up from the server's own OpenAPI description, valid and not: none is a fault of ours."""

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error

from tests.server.running_server import RunningServer

from .conftest import Effort

ROUTES = [
    ("POST", "/v1/videos/generations"),
    ("POST", "/v1/videos"),
    ("POST", "/v1/videos/sync"),
    ("GET", "/v1/videos"),
    ("GET", "/v1/videos/{video_id}"),
    ("DELETE", "/v1/videos/{video_id}"),
    ("POST", "/v1/videos/{video_id}/remix"),
    ("POST", "/v1/videos/extensions"),
    ("GET", "/v1/videos/{video_id}/content"),
    ("POST", "/v1/images/generations"),
    ("GET", "/v1/images/{image_id}/content"),
    ("GET", "/v1/jobs"),
    ("GET", "/v1/jobs/{job_id}"),
    ("DELETE", "/v1/jobs/{job_id}"),
    ("GET", "/v1/models"),
    ("GET", "/v1/models/{model_id}"),
    ("GET", "/v1/loras"),
    ("GET", "/v1/usage"),
    ("GET", "/v1/servers"),
    ("POST", "/video/generate"),
    ("POST", "/video/extend"),
    ("GET", "/health"),
    ("GET", "/health/live"),
    ("GET", "/metrics"),
]


@pytest.mark.usefixtures("survives")
@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_no_request_is_a_fault_of_the_server(server: RunningServer, effort: Effort, method: str, path: str) -> None:
    schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    examples = effort.examples if method == "POST" else min(effort.examples, 300)

    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def attack(case: Any) -> None:
        response = case.call(timeout=120)
        case.validate_response(response, checks=[not_a_server_error])
        if path.startswith("/v1") and response.status_code >= 400 and method != "HEAD":
            error = response.json()["error"]
            assert error.keys() == {"message", "type", "param", "code"}
            assert len(response.content) < 20_000

    given(case=schema[path][method].as_strategy())(attack)()
