"""Who may use the server, decided at its start."""

import socket
from dataclasses import dataclass
from pathlib import Path

from frontend.http.api_keys import KeyFile, KeysError, default_keys_file
from frontend.http.authority import parse_address
from frontend.http.key_ring import KeyRing


class AccessError(Exception):
    """A sentence for the person who starts the server: as it is set, it must not start."""


@dataclass(frozen=True)
class Access:
    """The decision."""

    keys: KeyRing | None
    """None where everybody is let in, whatever keys there are"""
    notice: str
    """a line for the person who starts the server"""
    exposed: bool
    """whether others on the network are let in without a key"""

    @property
    def asks_for_keys(self) -> bool:
        return self.keys is not None and self.keys.asked_for


def decide_access(host: str, keys_file: Path | None, environment_key: str | None, no_auth: bool) -> Access:
    """Keys are asked for where there are any; a server that others can reach does not start without.

    Args:
        host: what the server binds.
        keys_file: the user's own if None.
        environment_key: TRITONREEL_API_KEY.
        no_auth: let everybody in.

    Raises:
        AccessError: the keys cannot be read, or the server would be open to the network and nobody said so.
    """
    here = is_loopback(host)
    if no_auth:
        who = (
            f"every program on this machine can use {host}"
            if here
            else f"ANYONE WHO CAN REACH {host} CAN USE THIS SERVER"
        )
        return Access(None, f"no API key is asked for (--no-auth): {who}", exposed=not here)
    try:
        keys = KeyRing(KeyFile(keys_file or default_keys_file()), environment_key)
        names = keys.names()
    except KeysError as error:
        raise AccessError(f"{error}. With --no-auth no key is asked for.") from None
    if not here and not names:
        raise AccessError(
            f"{host} can be reached from the network, and there is no API key in {keys.file.path}. Make one with "
            "`tritonreel keys add NAME`, or say with --no-auth (TRITONREEL_NO_AUTH=true) that everybody may use the "
            "server."
        )
    if not keys.asked_for:
        notice = f"no API key is asked for: every program on this machine can use {host}"
        notice += "; `tritonreel keys add NAME` ends that"
    elif names:
        notice = f"an API key is asked for, one of: {', '.join(names)}"
    else:
        notice = f"an API key is asked for, and {keys.file.path} has none: `tritonreel keys add NAME` makes one"
    return Access(keys, notice, exposed=False)


def is_loopback(host: str) -> bool:
    """Whether binding `host` lets in this machine alone: every address that it resolves to must be a loopback one."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM) if host else []
    except (OSError, UnicodeError):
        return False
    addresses = [parse_address(str(endpoint[0])) for *_, endpoint in found]
    return bool(addresses) and all(address is not None and address.is_loopback for address in addresses)
