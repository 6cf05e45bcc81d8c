"""Ports for servers that tests kill and start again."""

from launcher.ports import resolve
from launcher.settings import Ports


def free_port() -> int:
    """One that no client is given as its own while the server is down."""
    return resolve(Ports(0, 0, 0)).frontend
