"""A client that does to a connection what HTTP libraries do not."""

import json
import socket
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any

import httpx

GENEROUS = 20
"""seconds that nothing here takes on a machine that is not broken"""
_TCP_CLOSE = 7
GET = b"GET /health/live HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


def post(path: str, *headers: str, content_type: str = "application/json") -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Type: {content_type}", *headers]
    return "\r\n".join([*lines, "", ""]).encode()


@dataclass(frozen=True)
class Answer:
    status: int
    headers: httpx.Headers
    body: bytes

    @property
    def error(self) -> dict[str, Any]:
        error: dict[str, Any] = json.loads(self.body)["error"]
        return error


class RawClient:
    """One connection to the server at `url`; a context manager."""

    def __init__(self, url: str, *, receive_buffer_bytes: int | None = None) -> None:
        address = httpx.URL(url)
        with ExitStack() as unless_connected:
            self.socket = unless_connected.enter_context(socket.socket())
            if receive_buffer_bytes:
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
            self.socket.settimeout(GENEROUS)
            self.socket.connect((address.host, address.port))
            unless_connected.pop_all()
        self._reader = self.socket.makefile("rb")

    def __enter__(self) -> "RawClient":
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.close()
        self.socket.close()

    def send(self, data: bytes) -> "RawClient":
        self.socket.sendall(data)
        return self

    def try_to_send(self, data: bytes) -> None:
        """As `send`, to a server that may have closed."""
        with suppress(BrokenPipeError, ConnectionResetError):
            self.socket.sendall(data)

    def answer(self) -> Answer:
        """The next answer, which must declare its length."""
        status = int(self._reader.readline().split()[1])
        headers = httpx.Headers()
        while line := self._reader.readline().strip():
            name, _, value = line.decode().partition(": ")
            headers[name] = value
        return Answer(status, headers, self._reader.read(int(headers["Content-Length"])))

    def read(self) -> int:
        """Read until the connection ends; the number of bytes."""
        num_bytes = 0
        with suppress(ConnectionResetError):
            while data := self.socket.recv(1024 * 1024):
                num_bytes += len(data)
        return num_bytes

    @property
    def was_reset(self) -> bool:
        """The server ended the connection forcibly, whatever is left to read."""
        state = self.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
        return state == _TCP_CLOSE

    def is_closed_within(self, seconds: float = GENEROUS) -> bool:
        """Whether the server closes, and sends nothing more before."""
        self.socket.settimeout(seconds)
        try:
            return self.socket.recv(1) == b""
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False
