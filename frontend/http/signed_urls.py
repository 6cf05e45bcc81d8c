"""URLs that need no API key: their signature says that this server gave them out, and until when they work."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from urllib.parse import parse_qsl, quote, urlencode

from starlette.types import ASGIApp, Receive, Scope, Send

from frontend.errors import FrontendError, InvalidSignature
from frontend.http.errors import refuse

SIGNED = "tritonreel.signed"
"""entry of the scope: the request is for a URL with a valid signature"""
EXPIRES, SIGNATURE = "expires", "signature"
_MAX_DIGITS = 12

Pairs = Sequence[tuple[str, str]]
Secret = Callable[[], Awaitable[bytes]]


def signed_path(path: str, query: Pairs, expires: int, key: bytes) -> str:
    """Path and query of a URL for whoever has it, until the unix time `expires`."""
    pairs = [*query, (EXPIRES, str(expires))]
    return f"{quote(path)}?{urlencode([*pairs, (SIGNATURE, _signature(path, pairs, key))])}"


class SignatureMiddleware:
    """Answers 403 to GET and HEAD requests whose signature is wrong or has expired, and marks those that have one.

    Args:
        key: what URLs are signed with.
    """

    def __init__(self, app: ASGIApp, *, key: Secret) -> None:
        self._app = app
        self._key = key

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if (
            scope["type"] == "http"
            and scope["method"] in ("GET", "HEAD")
            and SIGNATURE.encode() in scope["query_string"]
        ):
            try:
                if await self._is_signed(scope):
                    scope[SIGNED] = True
            except FrontendError as error:
                await refuse(error, scope, receive, send)
                return
        await self._app(scope, receive, send)

    async def _is_signed(self, scope: Scope) -> bool:
        """False where there is no signature. Raises InvalidSignature, JobsUnavailable."""
        pairs = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True, errors="surrogateescape")
        given = [value for name, value in pairs if name == SIGNATURE]
        if not given:
            return False
        signed = [pair for pair in pairs if pair[0] != SIGNATURE]
        expected = _signature(scope["path"], signed, await self._key())
        if len(given) > 1 or not hmac.compare_digest(given[0].encode("utf-8", "replace"), expected.encode()):
            raise InvalidSignature("The signature does not fit this URL: take it from the server, whole and unchanged")
        expires = dict(signed).get(EXPIRES, "")
        if not (expires.isdecimal() and len(expires) <= _MAX_DIGITS and time.time() < int(expires)):
            raise InvalidSignature("This URL has expired: ask for the video or image again, and take its new one")
        return True


def _signature(path: str, query: Pairs, key: bytes) -> str:
    """Of a path and a query, in whatever order its fields stand."""
    text = json.dumps([path, sorted(query)])  # ASCII, whatever was sent
    return base64.urlsafe_b64encode(hmac.digest(key, text.encode(), hashlib.sha256)).rstrip(b"=").decode()
