"""Answers only requests that are for this server, by the name they call it.

A page whose own name is made to resolve to this machine (DNS rebinding) is of the same origin as the server for its
browser, and could read everything. Its requests still carry the page's name as `Host`, which is not one of ours.
"""

from collections.abc import Iterable

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from frontend.errors import FrontendError, InvalidHost, MisdirectedRequest
from frontend.http.authority import Address, Authority, parse_address
from frontend.http.errors import refuse


class HostMiddleware:
    """Refuses what does not name, in one `Host` header, a host that this server is known by.

    These are `localhost`, every loopback address, the address that the connection was made to (an address cannot be
    rebound), `bound` and `allowed`. The port is not compared: a container's is often published as another one.

    Args:
        bound: what the server binds: an address or a name.
        allowed: more names and addresses, as `parse_hosts` returns them.
    """

    def __init__(self, app: ASGIApp, *, bound: str, allowed: Iterable[str]) -> None:
        self._app = app
        address = parse_address(bound)
        self._known = {"localhost", bound.lower() if address is None else str(address), *allowed}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            try:
                self._check(scope)
            except FrontendError as error:
                await refuse(error, scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        host = host_of(scope).host
        if not (scope["path"].startswith("/") or scope["path"] == "*"):
            raise MisdirectedRequest("This server is not a proxy: ask for a path, not for a URL")
        if not self._is_known(host, local_address(scope)):
            raise MisdirectedRequest(
                f"This server is not known as {host[:100]!r}. Where it should be, name it with --allowed-host or in "
                "TRITONREEL_ALLOWED_HOSTS"
            )

    def _is_known(self, host: str, local: Address | None) -> bool:
        if host in self._known:
            return True
        address = parse_address(host)
        return address is not None and (address.is_loopback or address == local)


def host_of(scope: Scope) -> Authority:
    """What the request calls this server. Raises InvalidHost unless exactly one `Host` says so, as browsers write it.

    HTTP/2 has `:authority` for it, which servers should have turned into `Host`.
    """
    headers = Headers(scope=scope)
    given = headers.getlist("host") + headers.getlist(":authority")
    if len(given) != 1:
        raise InvalidHost("The request has several Host headers" if given else "The request has no Host header")
    try:
        return Authority.parse(given[0])
    except ValueError as error:
        raise InvalidHost(f"The Host header cannot be read: {error}") from None


def local_address(scope: Scope) -> Address | None:
    """The address that the connection was made to; None for a Unix socket."""
    server = scope.get("server")
    return parse_address(server[0]) if server else None
