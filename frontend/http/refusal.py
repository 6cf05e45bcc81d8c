"""Turning a request away before anything else sees it."""

from starlette.types import Receive, Scope, Send

from frontend.errors import FrontendError
from frontend.http.errors import error_response

_POLICY_VIOLATION = 1008
"""RFC 6455's close code; before the handshake a server turns it into status 403"""


async def refuse(error: FrontendError, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the envelope of `error`; none of the body is read. A WebSocket is closed without a handshake."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": error.message[:100]})
    else:
        await error_response(error)(scope, receive, send)
