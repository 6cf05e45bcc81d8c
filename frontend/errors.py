"""Every error that a client can see, and the one place that turns exceptions into responses.

FrontendError                     status  type                   code
├── InvalidHost                   400     invalid_request_error  invalid_host
├── MisdirectedRequest            421     invalid_request_error  misdirected_request
├── CrossOrigin                   403     invalid_request_error  cross_origin_request
├── InvalidApiKey                 401     invalid_request_error  invalid_api_key
├── KeysUnavailable               503     server_error           keys_unavailable
├── UnknownFields                 422     invalid_request_error  unknown_parameter
├── InvalidImage                  400     invalid_request_error  invalid_image
├── InvalidJson                   400     invalid_request_error  invalid_json
├── InvalidMultipart              400     invalid_request_error  invalid_multipart
├── VideoNotFound                 404     invalid_request_error  video_not_found
├── UnsupportedMediaType          415     invalid_request_error  unsupported_media_type
├── PayloadTooLarge               413     invalid_request_error  payload_too_large
├── MalformedRequest              400     invalid_request_error  malformed_request
├── HeadersTooLarge               431     invalid_request_error  headers_too_large
├── RequestTimeout                408     invalid_request_error  request_timeout
├── TooManyConnections            503     server_error           too_many_connections
├── TooManyUploads                503     server_error           too_many_uploads
├── ServerStopping                503     server_error           server_stopping
├── ClientDisconnected            499     invalid_request_error  client_disconnected      nobody reads it; for the log
├── ModelNotReady                 503     server_error           model_not_ready
├── EngineUnavailable             503     server_error           service_unavailable
│   └── EngineStalled             503     server_error           engine_stalled
└── EngineFailed                  500     server_error           internal_error
protocol.errors.PipelineError
├── InvalidRequest                400     invalid_request_error  unsupported_value
├── ModelNotFound                 404     invalid_request_error  model_not_found
├── QueueFull                     429     rate_limit_error       queue_full
├── DeadlineExceeded              504     server_error           deadline_exceeded
├── Cancelled                     503     server_error           cancelled
└── ModelFailed                   503     server_error           model_failed
RequestValidationError            422     invalid_request_error  missing_required_parameter, invalid_type, invalid_value
HTTPException                     its own invalid_request_error  not_found, method_not_allowed, ...
anything else                     500     server_error           internal_error
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from frontend.request_id import current_request_id
from frontend.schemas.errors import ErrorBody, ErrorDetail, ErrorType
from frontend.validation_message import code_of, field_of, message_of
from protocol.errors import (
    Cancelled,
    DeadlineExceeded,
    InvalidRequest,
    ModelFailed,
    ModelNotFound,
    PipelineError,
    QueueFull,
)
from protocol.printable import LONGEST, printable

# Long enough for a supervisor to bring a dead process back, and for a place in the queue to become free.
RETRY_AFTER_SECONDS = 5

CLIENT_CLOSED_REQUEST = 499
"""nginx's status for a client that left before the answer; HTTP has none"""

_LONGEST_MESSAGE = 8_000
"""characters, for the case that every part of a message is as long as it may be"""

_log = structlog.get_logger(__name__)


class FrontendError(Exception):
    """Base of the frontend's own errors.

    Args:
        message: a sentence for the person who made the request.
        field: the request field that it is about, if one is.
    """

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field


class InvalidHost(FrontendError):
    """The request does not say in one `Host` header whom it is for."""


class MisdirectedRequest(FrontendError):
    """The request is for a host that this server is not."""


class CrossOrigin(FrontendError):
    """A browser sent the request for a page of an origin that is not allowed."""


class InvalidApiKey(FrontendError):
    """The request has no API key, or none that is taken."""


class KeysUnavailable(FrontendError):
    """The server cannot find out which API keys it takes."""


class UnknownFields(FrontendError):
    """The request has fields that the server does not know, and the server is set to refuse them."""


class InvalidImage(FrontendError):
    """An image that cannot be read, or is of a kind that is not taken."""


class InvalidJson(FrontendError):
    """The body is declared as JSON and is not, or nests more deeply than is read here."""


class InvalidMultipart(FrontendError):
    """The body is declared as multipart/form-data and is not, has too much of something, or text that is not UTF-8."""


class VideoNotFound(FrontendError):
    """No such video is kept, or no longer."""


class UnsupportedMediaType(FrontendError):
    """The body is declared as something that the route does not read."""


class PayloadTooLarge(FrontendError):
    """The body is larger than the server takes."""


class MalformedRequest(FrontendError):
    """What came is not HTTP/1.1."""


class HeadersTooLarge(FrontendError):
    """The request line and the headers are larger than the server takes."""


class RequestTimeout(FrontendError):
    """The client took too long to send its request."""


class TooManyConnections(FrontendError):
    """Every connection that the server takes is at work."""


class TooManyUploads(FrontendError):
    """The request bodies of others fill the memory that is set aside for them."""


class ServerStopping(FrontendError):
    """The server was told to stop before the request was done."""


class ClientDisconnected(FrontendError):
    """The client left before its answer was ready."""


class ModelNotReady(FrontendError):
    """The model is being exported or loaded."""


class EngineUnavailable(FrontendError):
    """Triton or one of its models cannot be reached; the message is the reason."""


class EngineStalled(EngineUnavailable):
    """`generate` accepted a job and then stopped talking."""


class EngineFailed(FrontendError):
    """`generate` answered with something that its contract does not allow. The message is for the log only."""


@dataclass(frozen=True)
class _Rule:
    status: int
    type: ErrorType
    code: str
    retry: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)


_INTERNAL = _Rule(500, "server_error", "internal_error")
_RULES: dict[type[Exception], _Rule] = {
    InvalidHost: _Rule(400, "invalid_request_error", "invalid_host"),
    MisdirectedRequest: _Rule(421, "invalid_request_error", "misdirected_request"),
    CrossOrigin: _Rule(403, "invalid_request_error", "cross_origin_request"),
    InvalidApiKey: _Rule(401, "invalid_request_error", "invalid_api_key", headers={"WWW-Authenticate": "Bearer"}),
    KeysUnavailable: _Rule(503, "server_error", "keys_unavailable", retry=True),
    UnknownFields: _Rule(422, "invalid_request_error", "unknown_parameter"),
    InvalidImage: _Rule(400, "invalid_request_error", "invalid_image"),
    InvalidJson: _Rule(400, "invalid_request_error", "invalid_json"),
    InvalidMultipart: _Rule(400, "invalid_request_error", "invalid_multipart"),
    VideoNotFound: _Rule(404, "invalid_request_error", "video_not_found"),
    UnsupportedMediaType: _Rule(415, "invalid_request_error", "unsupported_media_type"),
    PayloadTooLarge: _Rule(413, "invalid_request_error", "payload_too_large"),
    MalformedRequest: _Rule(400, "invalid_request_error", "malformed_request"),
    HeadersTooLarge: _Rule(431, "invalid_request_error", "headers_too_large"),
    RequestTimeout: _Rule(408, "invalid_request_error", "request_timeout"),
    TooManyConnections: _Rule(503, "server_error", "too_many_connections", retry=True),
    TooManyUploads: _Rule(503, "server_error", "too_many_uploads", retry=True),
    ServerStopping: _Rule(503, "server_error", "server_stopping", retry=True),
    ClientDisconnected: _Rule(CLIENT_CLOSED_REQUEST, "invalid_request_error", "client_disconnected"),
    ModelNotReady: _Rule(503, "server_error", "model_not_ready", retry=True),
    EngineUnavailable: _Rule(503, "server_error", "service_unavailable", retry=True),
    EngineStalled: _Rule(503, "server_error", "engine_stalled", retry=True),
    InvalidRequest: _Rule(400, "invalid_request_error", "unsupported_value"),
    ModelNotFound: _Rule(404, "invalid_request_error", "model_not_found"),
    QueueFull: _Rule(429, "rate_limit_error", "queue_full", retry=True),
    DeadlineExceeded: _Rule(504, "server_error", "deadline_exceeded"),
    Cancelled: _Rule(503, "server_error", "cancelled", retry=True),
    ModelFailed: _Rule(503, "server_error", "model_failed", retry=True),
}


def install_error_handlers(app: FastAPI) -> None:
    """Answer every exception of the tree above in the envelope. `RequestLogMiddleware` does so for the unforeseen."""

    async def handle(request: Request, error: Exception) -> JSONResponse:
        return _http_response(request, error) if isinstance(error, HTTPException) else error_response(error)

    for kind in (FrontendError, PipelineError, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, handle)


def error_response(error: Exception) -> JSONResponse:
    """The envelope for `error`. Server errors are logged; unforeseen ones with their traceback."""
    match error:
        case RequestValidationError():
            return _validation_response(error)
        case FrontendError() | PipelineError():
            rule = _RULES.get(type(error), _INTERNAL)
            if rule is not _INTERNAL:
                if rule.status >= 500:
                    _log.warning("request failed", code=rule.code, reason=error.message)
                message = f"{printable(error.field, LONGEST)}: {error.message}" if error.field else error.message
                return _envelope(rule, message, error.field)
    _log.error("internal error", exc_info=error)
    return _envelope(_INTERNAL, f"Internal error. Its request id is {current_request_id()}.", None)


def _validation_response(error: RequestValidationError) -> JSONResponse:
    """422 naming the fields that the schema rejects."""
    details = error.errors()
    rule = _Rule(422, "invalid_request_error", code_of(details[0]))
    return _envelope(rule, message_of(details), field_of(details[0]))


def _http_response(request: Request, error: HTTPException) -> JSONResponse:
    """What the router raises: no such route, no such method."""
    status = HTTPStatus(error.status_code)
    rule = _Rule(status.value, "invalid_request_error", status.name.lower())
    asked = f"{printable(request.method, LONGEST)} {printable(request.url.path, LONGEST)}"
    return _envelope(rule, f"{asked}: {status.phrase}", None, error.headers)


def _envelope(rule: _Rule, message: str, param: str | None, headers: Mapping[str, str] | None = None) -> JSONResponse:
    detail = ErrorDetail(
        message=printable(message, _LONGEST_MESSAGE),
        type=rule.type,
        param=param and printable(param, LONGEST),
        code=rule.code,
    )
    retry = {"Retry-After": str(RETRY_AFTER_SECONDS)} if rule.retry else {}
    return JSONResponse(
        ErrorBody(error=detail).model_dump(), rule.status, headers={**rule.headers, **(headers or {}), **retry}
    )
