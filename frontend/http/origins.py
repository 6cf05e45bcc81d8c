"""Refuses what a browser sends for a page of another origin, unless that origin is allowed.

A page anywhere may make its visitor's browser send forms and simple requests to any server that the browser reaches,
one on the visitor's own machine too; without the answer it cannot read, but the job would run. Browsers say where a
request comes from, in headers that pages cannot change: `Origin`, and `Sec-Fetch-*` to servers that they deem safe.
Other clients send neither and are not concerned.
"""

from collections.abc import Collection

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from frontend.errors import CrossOrigin
from frontend.http.authority import Origin
from frontend.http.errors import refuse
from frontend.http.hosts import host_of
from frontend.http.request_id import HEADER as REQUEST_ID

_EXPOSED = (REQUEST_ID, "Retry-After", "X-Should-Retry", "Preference-Applied", "openai-poll-after-ms")
_HTTP_SCHEMES = {"ws": "http", "wss": "https"}
"""the scheme of the pages' origin that a WebSocket's own stands for"""


class OriginMiddleware:
    """Stands behind `HostMiddleware`, whose check makes "the same origin" mean something.

    Args:
        allowed: origins whose pages may use the API, as `parse_origins` returns them. Their answers carry CORS headers;
            preflights are answered here, as they never have a key.
    """

    def __init__(self, app: ASGIApp, *, allowed: Collection[str]) -> None:
        self._app = app
        self._allowed = frozenset(allowed)
        self._with_cors = CORSMiddleware(
            app,
            allow_origins=self._allowed,
            allow_methods=["*"],
            allow_headers=["*"],
            allow_private_network=True,
            expose_headers=_EXPOSED,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        origins = headers.getlist("Origin")
        if len(origins) == 1 and origins[0] in self._allowed:
            await self._with_cors(scope, receive, send)
        elif _is_foreign(scope, headers, origins):
            error = CrossOrigin(
                "Pages of other origins may not use this server. Where this one should, name its origin with "
                "--allowed-origin or in TRITONREEL_ALLOWED_ORIGINS"
            )
            await refuse(error, scope, receive, send)
        else:
            await self._app(scope, receive, send)


def _is_foreign(scope: Scope, headers: Headers, origins: list[str]) -> bool:
    if origins and not (len(origins) == 1 and _is_own(origins[0], scope)):
        return True
    sites = headers.getlist("Sec-Fetch-Site")
    return any(site not in ("same-origin", "none") for site in sites) and not _opens_a_page(scope, headers)


def _is_own(text: str, scope: Scope) -> bool:
    """Whether `text` is the origin under which the request itself calls this server."""
    scheme: str = scope["scheme"]
    try:
        return Origin.parse(text) == Origin.of(_HTTP_SCHEMES.get(scheme, scheme), host_of(scope))
    except ValueError:
        return False


def _opens_a_page(scope: Scope, headers: Headers) -> bool:
    """Whether a person followed a link to here: that changes nothing, and the page with the link sees nothing of it."""
    return (
        scope["type"] == "http"
        and scope["method"] in ("GET", "HEAD")
        and headers.getlist("Sec-Fetch-Mode") == ["navigate"]
        and headers.getlist("Sec-Fetch-Dest") == ["document"]
    )
