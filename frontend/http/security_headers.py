"""Tells browsers what they must not do with an answer, whoever made them ask for it.

What other origins may read is for `OriginMiddleware` to say; nothing here takes that back.
"""

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_NEVER = "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_DATA_POLICY = f"default-src 'none'; img-src 'self'; media-src 'self'; style-src 'unsafe-inline'; {_NEVER}"
"""a browser shows a video or an image that is opened in a tab of its own, and runs nothing"""
_PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; "
    f"connect-src 'self'; {_NEVER}"
)
"""this server's pages, and nothing that is not its own; `blob:` and `data:` are what they draw and are given"""
_POLICIES = dict.fromkeys(("/", "/page", "/docs"), _PAGE_POLICY)
"""by the first part of the path"""
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",  # a signed URL must not travel on
}


def security_headers(path: str | None = None) -> dict[str, str]:
    """Of the answer to a request for `path`, or to one that could not be read."""
    first = "/" + (path or "none").lstrip("/").partition("/")[0]
    return {**_HEADERS, "Content-Security-Policy": _POLICIES.get(first, _DATA_POLICY)}


class SecurityHeadersMiddleware:
    """Adds them to every response."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(security_headers(scope["path"]))
            await send(message)

        await self._app(scope, receive, send_with_headers)
