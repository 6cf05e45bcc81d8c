"""Turns exceptions into responses, in this one place."""

from collections.abc import Mapping
from http import HTTPStatus

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from frontend.error_rules import INTERNAL, Rule, internal_message, rule_of
from frontend.errors import FrontendError, RateLimited
from frontend.http.request_id import current_request_id
from frontend.http.validation_message import code_of, field_of, message_of
from frontend.schemas.errors import ErrorBody, ErrorDetail
from protocol.errors import PipelineError
from protocol.printable import LONGEST, printable

# Long enough for a supervisor to bring a dead process back, and for a place in the queue to become free.
RETRY_AFTER_SECONDS = 5
_LONGEST_MESSAGE = 8_000
"""characters, for the case that every part of a message is as long as it may be"""

_POLICY_VIOLATION = 1008
"""RFC 6455's close code; before the handshake a server turns it into status 403"""

_log = structlog.get_logger(__name__)


def install_error_handlers(app: FastAPI) -> None:
    """Answer in the envelope what `frontend.errors` lists. `RequestLogMiddleware` does so for the unforeseen."""

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
            rule = rule_of(error)
            if rule is not INTERNAL:
                if rule.status >= 500:
                    _log.warning("request failed", code=rule.code, reason=error.message)
                message = f"{printable(error.field, LONGEST)}: {error.message}" if error.field else error.message
                exact = {"Retry-After": str(error.retry_after)} if isinstance(error, RateLimited) else None
                return _envelope(rule, message, error.field, exact)
    _log.error("internal error", exc_info=error)
    return _envelope(INTERNAL, internal_message(current_request_id()), None)


async def refuse(error: FrontendError, scope: Scope, receive: Receive, send: Send) -> None:
    """Turn a request away before a route sees it: answer with the envelope of `error`, and read none of the body.

    A WebSocket is closed without a handshake.
    """
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": error.message[:100]})
    else:
        await error_response(error)(scope, receive, send)


def _validation_response(error: RequestValidationError) -> JSONResponse:
    """422 naming the fields that the schema rejects."""
    details = error.errors()
    rule = Rule(422, "invalid_request_error", code_of(details[0]))
    return _envelope(rule, message_of(details), field_of(details[0]))


def _http_response(request: Request, error: HTTPException) -> JSONResponse:
    """What the router raises: no such route, no such method."""
    status = HTTPStatus(error.status_code)
    rule = Rule(status.value, "invalid_request_error", status.name.lower())
    asked = f"{printable(request.method, LONGEST)} {printable(request.url.path, LONGEST)}"
    return _envelope(rule, f"{asked}: {status.phrase}", None, error.headers)


def _envelope(rule: Rule, message: str, param: str | None, headers: Mapping[str, str] | None = None) -> JSONResponse:
    detail = ErrorDetail(
        message=printable(message, _LONGEST_MESSAGE),
        type=rule.type,
        param=param and printable(param, LONGEST),
        code=rule.code,
    )
    return JSONResponse(
        ErrorBody(error=detail).model_dump(), rule.status, headers={**rule.headers, **_retry(rule), **(headers or {})}
    )


def _retry(rule: Rule) -> dict[str, str]:
    """Whether to send the request again; `openai`'s SDKs do so at every 408, 409, 429 and 5xx that does not say no."""
    if rule.retry:
        return {"Retry-After": str(RETRY_AFTER_SECONDS), "X-Should-Retry": "true"}
    return {} if rule.status == HTTPStatus.REQUEST_TIMEOUT else {"X-Should-Retry": "false"}
