"""One log line and one metrics sample for each request, and an answer even to what nobody foresaw."""

import time

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from frontend.error_rules import CLIENT_CLOSED_REQUEST
from frontend.http.authentication import KEY_NAME
from frontend.http.errors import error_response
from frontend.metrics import Metrics
from protocol.printable import LONGEST, printable

_log = structlog.get_logger(__name__)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

_PROBED = "/health/live"
"""the launcher asks this every second"""


class RequestLogMiddleware:
    """Logs method, path, status, duration and the name of the API key; never the body, the query or a header, which
    may hold secrets.

    It answers 500 to an exception that no handler took. (Starlette would do so outside of `RequestIdMiddleware`, and
    the answer would lack its id.)
    """

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.monotonic()
        status = CLIENT_CLOSED_REQUEST  # until an answer begins
        answering = False

        async def send_and_note(message: Message) -> None:
            nonlocal status, answering
            if message["type"] == "http.response.start":
                status, answering = int(message["status"]), True  # `HTTPStatus` is one too, and would be logged as one
            await send(message)

        try:
            await self._app(scope, receive, send_and_note)
        except Exception as error:
            if answering:
                raise
            await error_response(error)(scope, receive, send_and_note)
        finally:
            seconds = time.monotonic() - started
            method = scope["method"] if scope["method"] in _METHODS else "other"
            name: str | None = scope.get(KEY_NAME)
            self._metrics.request_answered(method, _route(scope), status, seconds, name)
            key = {} if name is None else {"key": name}
            path = printable(scope["path"], LONGEST)
            log = _log.debug if path == _PROBED else _log.info
            log("request", method=method, path=path, status=status, seconds=round(seconds, 4), **key)


def _route(scope: Scope) -> str:
    """The template of the matched route; a path that matches none would make a label value of its own."""
    return getattr(scope.get("route"), "path", "none")
