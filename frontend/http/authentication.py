"""Asks for an API key."""

import structlog
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from frontend.errors import FrontendError, InvalidApiKey, KeysUnavailable
from frontend.http.api_keys import KeysError
from frontend.http.errors import refuse
from frontend.http.hosts import local_address
from frontend.http.key_ring import KeyRing
from frontend.http.signed_urls import SIGNED

KEY_NAME = "tritonreel.key_name"
"""entry of the scope: the name of the request's key, for the log"""
IS_ADMIN = "tritonreel.is_admin"
"""entry of the scope: whether that key is an administrator's"""
_OPEN_PATHS = frozenset({"/health", "/health/live", "/health/ready", "/", "/docs"})
"""for probes, which have no key, and browsers, whose pages ask for it"""
_OPEN_PREFIXES = ("/page/", "/docs/")
"""of what these pages are made of"""
_log = structlog.get_logger(__name__)


class KeyMiddleware:
    """Answers 401 to requests without a key of the ring, `Authorization: Bearer KEY`, where keys are asked for.

    What a signed URL asks for needs none.

    They are where the ring says so, and on every connection that was not made to a loopback address, whatever the
    server was told that it binds. Where the ring cannot be read nobody is let in: 503.

    Args:
        keys: None lets everybody in.
    """

    def __init__(self, app: ASGIApp, *, keys: KeyRing | None) -> None:
        self._app = app
        self._keys = keys
        self._last_fault = ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._keys is not None and _is_guarded(scope):
            try:
                name = scope[KEY_NAME] = self._owner(self._keys, scope)
                scope[IS_ADMIN] = name is not None and self._keys.is_admin(name)
            except FrontendError as error:
                await refuse(error, scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _owner(self, keys: KeyRing, scope: Scope) -> str | None:
        """The name of the request's key; None where it needs none."""
        try:
            keys.refresh()
            if not keys.asked_for and _came_by_loopback(scope):
                return None
            name = keys.name_of(_bearer_token(scope))
        except KeysError as error:
            if str(error) != self._last_fault:  # not once per request
                self._last_fault = str(error)
                _log.error("nobody is let in until the API keys can be read", reason=self._last_fault)
            raise KeysUnavailable("The server cannot read its API keys; its log says why") from None
        self._last_fault = ""
        if name is None:
            raise InvalidApiKey("Incorrect API key: it is unknown to this server or was revoked")
        return name


def _is_guarded(scope: Scope) -> bool:
    if scope["type"] == "http":
        path: str = scope["path"]
        return not (path in _OPEN_PATHS or path.startswith(_OPEN_PREFIXES) or SIGNED in scope)
    return bool(scope["type"] == "websocket")


def _bearer_token(scope: Scope) -> bytes:
    """Raises InvalidApiKey, which never quotes what was sent."""
    given = Headers(scope=scope).getlist("Authorization")
    scheme, _, token = given[0].partition(" ") if len(given) == 1 else ("", "", "")
    if scheme.lower() != "bearer" or not token.strip():
        raise InvalidApiKey("This server asks for an API key: send it in one header, `Authorization: Bearer KEY`")
    return token.strip().encode("latin-1")  # as it arrived


def _came_by_loopback(scope: Scope) -> bool:
    address = local_address(scope)
    return address is not None and address.is_loopback
