"""The errors of requests that no route ever sees, which all routes document."""

from typing import Any

from frontend.schemas.errors import ErrorBody

ACCESS_ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"model": ErrorBody, "description": "The Host header cannot be read."},
    403: {"model": ErrorBody, "description": "A page of an origin that is not allowed sent it."},
    421: {"model": ErrorBody, "description": "The server is not known by the host that it is for."},
}
KEY_ERRORS: dict[int | str, dict[str, Any]] = {
    401: {"model": ErrorBody, "description": "An API key is asked for; this request has none that is known."},
    503: {"model": ErrorBody, "description": "The API keys cannot be read; see Retry-After."},
}
