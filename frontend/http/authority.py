"""Hosts and origins, as headers and options name them.

Read strictly, and only in the form that browsers send: what is written oddly (`127.1`, `0x7f.1`, `user@host`) is not
taken for anything.
"""

import ipaddress
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Self

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_AUTHORITY = re.compile(r"(?:\[(?P<ipv6>[0-9A-Fa-f:.]+)\]|(?P<name>[A-Za-z0-9._-]+))(?::(?P<port>[0-9]{1,5}))?")
_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")
_SEPARATORS = re.compile(r"[\s,]+")
_MAX_NAME = 253
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Authority:
    """The value of a `Host` header."""

    host: str
    """lower case, without a dot at the end; an IP address in its shortest form, IPv6 without brackets"""
    port: int | None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises ValueError for what is not exactly a host, or a host and a port."""
        match = _AUTHORITY.fullmatch(text)
        if match is None:
            raise ValueError("it is not a host, or a host and a port")
        port = int(match["port"]) if match["port"] else None
        if port is not None and not 0 < port < 65536:
            raise ValueError("its port is not between 1 and 65535")
        host = str(_unmapped(ipaddress.IPv6Address(match["ipv6"]))) if match["ipv6"] else _host_name(match["name"])
        return cls(host, port)


@dataclass(frozen=True)
class Origin:
    """The value of an `Origin` header."""

    scheme: str
    host: str
    port: int | None
    """the scheme's own where the text has none; None for schemes that have none"""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises ValueError for what is not exactly SCHEME://HOST[:PORT]; `null` is nobody's origin."""
        scheme, separator, rest = text.partition("://")
        if not separator or not _SCHEME.fullmatch(scheme):
            raise ValueError("it is not SCHEME://HOST or SCHEME://HOST:PORT")
        return cls.of(scheme.lower(), Authority.parse(rest))

    @classmethod
    def of(cls, scheme: str, authority: Authority) -> Self:
        return cls(scheme, authority.host, authority.port or _DEFAULT_PORTS.get(scheme))

    def __str__(self) -> str:
        """As browsers write it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        default = self.port == _DEFAULT_PORTS.get(self.scheme)
        return f"{self.scheme}://{host}" + ("" if default else f":{self.port}")


def parse_address(text: str) -> Address | None:
    """The IP address that `text` is, without its zone, or None. An IPv4 address in IPv6's form is the IPv4 address."""
    try:
        return _unmapped(ipaddress.ip_address(text.partition("%")[0]))
    except ValueError:
        return None


def parse_hosts(texts: str | Iterable[str]) -> tuple[str, ...]:
    """Host names or IP addresses, separated by commas or spaces where they stand in one text.

    Raises ValueError with a sentence that names the first that is wrong.
    """
    return tuple(dict.fromkeys(_parse_each(texts, _configured_host, "a host name or an IP address, without a port")))


def parse_origins(texts: str | Iterable[str]) -> tuple[str, ...]:
    """Origins such as https://app.example.com, written as browsers write them. Raises ValueError like `parse_hosts`."""
    kind = "an origin; write it like https://app.example.com or http://localhost:3000, one for each page that may ask"
    return tuple(dict.fromkeys(_parse_each(texts, lambda text: str(Origin.parse(text)), kind)))


def parse_servers(texts: str | Iterable[str]) -> tuple[str, ...]:
    """Addresses HOST:PORT. Raises ValueError like `parse_hosts`."""
    return tuple(dict.fromkeys(_parse_each(texts, _server, "the address of a server; write it like 127.0.0.1:8001")))


def _parse_each(texts: str | Iterable[str], parse: Callable[[str], str], kind: str) -> Iterable[str]:
    for text in _SEPARATORS.split(texts if isinstance(texts, str) else " ".join(texts)):
        if text:
            try:
                yield parse(text)
            except ValueError:
                raise ValueError(f"{text[:200]!r} is not {kind}") from None


def _server(text: str) -> str:
    if Authority.parse(text).port is None:
        raise ValueError("it has no port")
    return text.lower()


def _configured_host(text: str) -> str:
    address = parse_address(text)
    if address is not None:
        return str(address)
    authority = Authority.parse(text)
    if authority.port is not None:
        raise ValueError("it has a port")
    return authority.host


def _host_name(text: str) -> str:
    name = text.removesuffix(".").lower()
    labels = name.split(".")
    if labels[-1].isdigit():
        return str(ipaddress.IPv4Address(text))  # browsers take every such name for an address
    if len(name) > _MAX_NAME or not all(map(_LABEL.fullmatch, labels)):
        raise ValueError("it is not a host name")
    return name


def _unmapped(address: Address) -> Address:
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
