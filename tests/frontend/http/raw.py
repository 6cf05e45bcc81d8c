"""HTTP as bytes, for what client libraries do not let through."""

import socket
from dataclasses import dataclass

import httpx


@dataclass(frozen=True)
class RawAnswer:
    status: int
    text: str
    """head and body"""


def ask(url: str, *lines: str, body: bytes = b"") -> RawAnswer:
    """The answer to these header lines, the request's first; read until it is complete."""
    address = httpx.URL(url)
    with socket.create_connection((address.host, address.port or 80), timeout=30) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
        stream = connection.makefile("rb")
        head = b""
        while (line := stream.readline()) not in (b"\r\n", b""):
            head += line
        headers = dict(line.lower().split(": ", 1) for line in head.decode("latin-1").splitlines()[1:])
        rest = stream.read(int(headers["content-length"])) if "content-length" in headers else stream.read()
    return RawAnswer(int(head.split()[1]), (head + b"\r\n" + rest).decode("latin-1"))
