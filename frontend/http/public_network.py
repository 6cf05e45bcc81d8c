"""Connections to the public internet alone, for URLs that clients name.

A server stands where its clients do not: beside databases, consoles, and the metadata of its cloud, which hands out
keys. What a name resolves to is therefore looked at when a connection is made, and the connection goes to the very
address that was looked at: a name that resolves to something else a moment later gains nothing.
"""

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpcore

from frontend.http.authority import Address

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
"""IPv4 addresses as networks without IPv4 write them (RFC 6052)"""
_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")
"""all of IPv6 that is given out (RFC 4291, section 2.4)"""
_NOT_PUBLIC = tuple(
    map(
        ipaddress.ip_network,
        (
            "192.0.0.0/24",  # of protocols (RFC 6890), and Oracle Cloud's metadata; Python calls most of it global
            "192.88.99.0/24",  # relays of 6to4 (RFC 7526)
            "168.63.129.16/32",  # Azure's agent of the host, for its virtual machines
            "2002::/16",  # 6to4 (RFC 3056): any IPv4 address inside
            "3fff::/20",  # documentation (RFC 9637), which Python 3.11 does not know
        ),
    )
)
_MAX_ADDRESSES = 4
"""of a name, tried one after the other"""
_LOOKUPS = 8
"""at once"""
_MAX_HEAD_BYTES = 64 * 1024
"""before an answer begins; a few more may come in one piece with the last of these"""


class NoPublicAddress(Exception):
    """The name is not found, or not all of its addresses are public. Which of the two, clients are not to learn: they
    could ask for the names of an internal network."""


def is_public(address: Address) -> bool:
    """Whether everybody can reach it. Of IPv4 inside IPv6 that is told by the IPv4 address."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF) if address in _NAT64 else address.ipv4_mapped
        if inner is not None:
            return is_public(inner)
        if address.scope_id is not None or address not in _GLOBAL_UNICAST:
            return False
    special = address.is_multicast or any(address in network for network in _NOT_PUBLIC)
    return address.is_global and not special


def addresses_of(host: str) -> list[str]:
    """What the system's resolver says, in the order to try. Blocks. Raises OSError where there is no such name."""
    return [str(info[4][0]) for info in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)]


class PublicNetwork(httpcore.AsyncNetworkBackend):
    """Connects to hosts all of whose addresses are public, and not to this machine by a public address of its own.

    TLS and the `Host` header are httpcore's, which keeps to the name.

    Args:
        allowed: which addresses.
        resolve: an IP address or a host's name to its addresses; called in a thread.
    """

    def __init__(
        self,
        allowed: Callable[[Address], bool] = is_public,
        resolve: Callable[[str], Sequence[str]] = addresses_of,
    ) -> None:
        self._allowed = allowed
        self._resolve = resolve
        self._sockets = httpcore.AnyIOBackend()
        # Threads of its own: a lookup cannot be stopped, and a name server of the client's choice may be slow.
        self._threads = ThreadPoolExecutor(_LOOKUPS, "name-lookup")

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Raises NoPublicAddress, httpcore.ConnectError, httpcore.ConnectTimeout. `timeout` is for each address."""
        failure: httpcore.ConnectError | httpcore.ConnectTimeout | None = None
        for address in (await self._addresses(host))[:_MAX_ADDRESSES]:
            try:
                stream = await self._sockets.connect_tcp(str(address), port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
                continue
            if not _leads_out(stream, address):
                await stream.aclose()
                raise NoPublicAddress
            return AnswerStream(stream)
        raise failure or NoPublicAddress

    async def _addresses(self, host: str) -> list[Address]:
        """Raises NoPublicAddress."""
        try:
            found = await asyncio.get_running_loop().run_in_executor(self._threads, self._resolve, host)
            addresses = list(dict.fromkeys(map(_ip, found)))
        except (OSError, ValueError):  # ValueError: what cannot be a name at all
            raise NoPublicAddress from None
        if not all(map(self._allowed, addresses)):
            raise NoPublicAddress
        return addresses


class AnswerStream(httpcore.AsyncNetworkStream):
    """A connection on which an answer must begin within some bytes.

    Without it, a server may send interim answers (1xx) for as long as there is time, each of which costs some.
    """

    def __init__(self, stream: httpcore.AsyncNetworkStream) -> None:
        self._stream = stream
        self._head_bytes_left: float = _MAX_HEAD_BYTES

    def begun(self) -> None:
        """The answer has begun: its length is for the reader to watch now."""
        self._head_bytes_left = float("inf")

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if self._head_bytes_left <= 0:
            raise httpcore.RemoteProtocolError("the head of the answer is too long")
        data = await self._stream.read(max_bytes, timeout)
        self._head_bytes_left -= len(data)
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        return AnswerStream(await self._stream.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _leads_out(stream: httpcore.AsyncNetworkStream, address: Address) -> bool:
    """Whether it is connected to this address, and not to this machine, where no firewall would see it."""
    peer, own = stream.get_extra_info("server_addr"), stream.get_extra_info("client_addr")
    return peer is not None and _ip(peer[0]) == address != _ip(own[0])


def _ip(text: str) -> Address:
    """With its zone, where it has one: such an address is not public. Raises ValueError."""
    return ipaddress.ip_address(text)
