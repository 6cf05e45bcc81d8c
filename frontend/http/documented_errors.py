"""The errors as the documentation lists them: one table for its introduction and for each route."""

from enum import IntEnum
from typing import Any, NamedTuple

from frontend.schemas.errors import ErrorBody

Responses = dict[int | str, dict[str, Any]]


class _Where(IntEnum):
    """The routes that document an error; each kind has those of the kinds before it too."""

    EVERY_ROUTE = 0
    BEHIND_A_KEY = 1
    GENERATION = 2
    SERVICE = 3
    NONE = 4
    """it is answered before a route is found, or in any"""


class _Documented(NamedTuple):
    status: int
    when: str
    where: _Where


_TABLE = (
    _Documented(400, "the body cannot be read, or asks for something that the model cannot do", _Where.GENERATION),
    _Documented(400, "the `Host` header cannot be read", _Where.EVERY_ROUTE),
    _Documented(401, "an API key is asked for, and the request has none that is known", _Where.BEHIND_A_KEY),
    _Documented(403, "a page of an origin that is not allowed sent it", _Where.EVERY_ROUTE),
    _Documented(403, "the signature of a URL is wrong, or has expired", _Where.NONE),
    _Documented(403, "the route is for administrators' API keys", _Where.NONE),
    _Documented(404, "there is no such model; the message names those served", _Where.GENERATION),
    _Documented(404, "there is no such route, or no such Triton server", _Where.NONE),
    _Documented(405, "the route has no such method", _Where.NONE),
    _Documented(408, "the headers or the body came too slowly", _Where.NONE),
    _Documented(409, "the video is not ready, or has failed; or somebody has stopped the job", _Where.GENERATION),
    _Documented(413, "the body is too large, as it is or decoded", _Where.GENERATION),
    _Documented(415, "the Content-Type or the Content-Encoding is not one that the route reads", _Where.GENERATION),
    _Documented(416, "the range of a file that is asked for begins behind its end", _Where.NONE),
    _Documented(421, "the request is for a host that the server is not known by", _Where.EVERY_ROUTE),
    _Documented(422, "a field is missing, has the wrong type, or is out of bounds", _Where.GENERATION),
    _Documented(422, "the `Idempotency-Key` came with another request before", _Where.GENERATION),
    _Documented(429, "the queue is full, or a limit of the API key is reached; see `Retry-After`", _Where.GENERATION),
    _Documented(431, "the headers are too large", _Where.NONE),
    _Documented(500, "a fault of ours; the message has the request's id", _Where.GENERATION),
    _Documented(501, "no served model can do what the route is for", _Where.SERVICE),
    _Documented(502, "a hosted provider is away, fails, or refuses this server's key", _Where.SERVICE),
    _Documented(503, "Triton or a model is away, or died during the job; see `Retry-After`", _Where.GENERATION),
    _Documented(503, "the API keys cannot be read; see `Retry-After`", _Where.BEHIND_A_KEY),
    _Documented(
        503, "the server stops, cannot keep jobs, or has as many connections or uploads as it can", _Where.NONE
    ),
    _Documented(503, "the storage is away, or refuses the server; the message has the reason", _Where.GENERATION),
    _Documented(504, "the job was not done in its time", _Where.GENERATION),
    _Documented(507, "the disk of the storage, or of the database of jobs, is full", _Where.GENERATION),
)


def markdown_table() -> str:
    """All of them, for the introduction."""
    rows = [f"| {row.status} | {row.when} |" for row in _TABLE]
    return "\n".join(["| status | when |", "|---|---|", *rows])


def _responses(where: _Where) -> Responses:
    """What FastAPI calls `responses`: a description for each status, of all its cases."""
    cases: dict[int, list[str]] = {}
    for row in _TABLE:
        if row.where <= where:
            cases.setdefault(row.status, []).append(row.when)
    return {status: {"model": ErrorBody, "description": _sentence(whens)} for status, whens in cases.items()}


def _sentence(cases: list[str]) -> str:
    text = "; or ".join(cases)
    return f"{text[0].upper()}{text[1:]}."


EVERY_ROUTE_ERRORS = _responses(_Where.EVERY_ROUTE)
KEYED_ROUTE_ERRORS = _responses(_Where.BEHIND_A_KEY)
GENERATION_ERRORS = _responses(_Where.GENERATION)
SERVICE_ERRORS = _responses(_Where.SERVICE)
