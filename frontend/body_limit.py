"""Refuses request bodies that are too large before they are in memory."""

from collections.abc import Mapping

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from frontend.errors import PayloadTooLarge, error_response


class BodyLimitMiddleware:
    """Answers 413 when `Content-Length` says more than is allowed, or when more than that arrives.

    Args:
        max_bytes: what a body may have.
        max_bytes_at: what it may have at these paths instead.
    """

    def __init__(self, app: ASGIApp, *, max_bytes: int, max_bytes_at: Mapping[str, int]) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._max_bytes_at = max_bytes_at

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        max_bytes = self._max_bytes_at.get(scope["path"], self._max_bytes)
        if _declared_bytes(scope) > max_bytes:
            await _refuse(max_bytes, scope, receive, send)
            return

        received = 0
        refused = False

        async def receive_within_limit() -> Message:
            nonlocal received, refused
            message = await receive()
            received += len(message.get("body", b""))
            if received > max_bytes:
                if not refused:
                    refused = True
                    await _refuse(max_bytes, scope, receive, send)
                # The rest of the body is nobody's: for the application the client is gone.
                return {"type": "http.disconnect"}
            return message

        async def send_unless_refused(message: Message) -> None:
            if not refused:
                await send(message)

        await self._app(scope, receive_within_limit, send_unless_refused)


async def _refuse(max_bytes: int, scope: Scope, receive: Receive, send: Send) -> None:
    response = error_response(PayloadTooLarge(f"The body must have at most {max_bytes} bytes"))
    await response(scope, receive, send)


def _declared_bytes(scope: Scope) -> int:
    """`Content-Length`, 0 where it is absent or not a number (counting what arrives still holds the limit)."""
    try:
        return int(Headers(scope=scope).get("Content-Length", 0))
    except ValueError:
        return 0
