"""HEAD wherever there is GET (RFC 9110, section 9.3.2): the same answer without its content."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_HEAD_ONLY = "tritonreel.head_only"


def is_head(scope: Scope) -> bool:
    """Whether nobody reads the content, which then need not be fetched from anywhere."""
    return _HEAD_ONLY in scope


class HeadMiddleware:
    """Asks the application for a GET and sends nothing but the headers of what it answers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def send_without_content(message: Message) -> None:
            await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

        await self._app({**scope, "method": "GET", _HEAD_ONLY: True}, receive, send_without_content)
