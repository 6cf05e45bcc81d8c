"""`GET /`: where everything is."""

from typing import Any, Literal

from pydantic import BaseModel

_EXAMPLES: dict[str, dict[str, Any]] = {
    "POST /v1/videos/generations": {"prompt": "a red circle moving right on a black background"},
    "POST /v1/images/generations": {"prompt": "a green triangle on a white background"},
}


class Links(BaseModel):
    """Paths on this server."""

    name: Literal["tritonreel"] = "tritonreel"
    version: str
    docs: str = "/docs"
    openapi: str = "/openapi.json"
    models: str = "/v1/models"
    jobs: str = "/v1/jobs"
    health: str = "/health"
    metrics: str = "/metrics"
    examples: dict[str, dict[str, Any]] = _EXAMPLES
    """bodies of requests"""
