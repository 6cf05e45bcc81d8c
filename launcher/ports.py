"""Choosing and checking TCP ports before anything is started."""

import random
import socket
from contextlib import closing
from dataclasses import asdict, replace

from launcher.errors import SetupError
from launcher.settings import Ports

OPTIONS = {"frontend": "--port", "grpc": "--grpc-port", "metrics": "--metrics-port"}

# Below Linux' ephemeral range: a client that reconnects to a port in that range while its server is down can be given
# that very port as its own, and then the server cannot have it back.
_AUTOMATIC = range(15000, 32000)


def resolve(ports: Ports) -> Ports:
    """Replace each port that is 0 by a free one. Raises SetupError for one that is no port, or when none is free."""
    _check_range(ports)
    taken = set(asdict(ports).values())
    for name, port in asdict(ports).items():
        if port == 0:
            chosen = _free_port(exclude=taken)
            taken.add(chosen)
            ports = replace(ports, **{name: chosen})
    return ports


def check(ports: Ports, host: str, triton_host: str, with_frontend: bool) -> None:
    """Raise SetupError, naming the option to change, unless every port of this instance can be bound.

    Args:
        host: what the frontend binds.
        triton_host: what Triton binds.
    """
    _check_range(ports)
    for option, address in {"--host": host, "--triton-host": triton_host}.items():
        if reason := _why_not_resolvable(address):
            raise SetupError(f"{option} {address!r} is no address of this machine ({reason}).")
    used = {name: port for name, port in asdict(ports).items() if with_frontend or name != "frontend"}
    owners: dict[int, str] = {}
    for name, port in used.items():
        option = OPTIONS[name]
        if port in owners:
            raise SetupError(f"{owners[port]} and {option} are both {port}; give each a port of its own.")
        owners[port] = option
        address = host if name == "frontend" else triton_host
        reason = _why_not_bindable(address, port)
        if reason:
            raise SetupError(f"Cannot listen on {address}:{port} ({reason}). Choose another port with {option}.")


def reachable(host: str) -> str:
    """How this machine reaches what binds `host`, as URLs have it."""
    return {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)


def _check_range(ports: Ports) -> None:
    for name, port in asdict(ports).items():
        if not 0 <= port <= 65535:
            raise SetupError(f"{OPTIONS[name]} is {port}; a port is a number from 1 to 65535, or 0 for a free one.")


def _why_not_resolvable(host: str) -> str | None:
    try:
        socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except UnicodeError:
        return "not a host name"
    except OSError as error:
        return error.strerror or str(error)
    return None


def _free_port(exclude: set[int]) -> int:
    for port in random.sample(_AUTOMATIC, 500):
        if port not in exclude and _why_not_bindable("127.0.0.1", port) is None:
            return port
    raise SetupError(f"Found no free port between {_AUTOMATIC.start} and {_AUTOMATIC.stop}.")


def _why_not_bindable(address: str, port: int) -> str | None:
    try:
        family, kind, protocol, _, endpoint = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)[0]
        with closing(socket.socket(family, kind, protocol)) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: TIME_WAIT is no obstacle
            probe.bind(endpoint)
            probe.listen()
    except OSError as error:
        return error.strerror or str(error)
    return None
