"""Raw HTTP oddities: each is answered with a sane response or the end of the connection, soon, and harms nobody."""

import re
import socket
import time
from urllib.parse import urlsplit

import pytest

from tests.server.running_server import RunningServer

from .http_corpus import corpus

SOON = 30.0
"""seconds; most take milliseconds, but the machine may be busy, and an unfinished request ends with its deadline"""
LARGEST_ANSWER = 1_000_000
"""bytes: of a small image, with room"""


def exchange(host: str, port: int, request: bytes) -> bytes:
    """What the server says to `request`, at most the first LARGEST_ANSWER bytes, until it closes or falls silent."""
    received = b""
    with socket.create_connection((host, port), timeout=SOON) as connection:
        try:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            while len(received) <= LARGEST_ANSWER and (chunk := connection.recv(65536)):
                received += chunk
        except (ConnectionResetError, BrokenPipeError):
            pass  # it may refuse to read on
    return received


@pytest.mark.usefixtures("survives")
def test_every_oddity_is_answered_or_cut_off(server: RunningServer) -> None:
    url = urlsplit(server.url)
    assert url.hostname is not None
    assert url.port is not None
    cases = list(corpus(f"{url.hostname}:{url.port}"))
    assert len(cases) > 246
    faults = []
    for name, request in cases:
        started = time.monotonic()
        answer = exchange(url.hostname, url.port, request)
        seconds = time.monotonic() - started
        statuses = [int(code) for code in re.findall(rb"(?m)^HTTP/1\.1 (\d{3}) ", answer)]
        if seconds > SOON or len(answer) > LARGEST_ANSWER or (answer and not answer.startswith(b"HTTP/1.1 ")):
            faults.append(f"{name}: {seconds:.1f} s, {len(answer)} bytes, {answer[:60]!r}")
        elif any(status >= 500 for status in statuses):
            faults.append(f"{name}: {statuses}, {answer[-300:]!r}")
        elif b"X-Injected" in answer.split(b"\r\n\r\n")[0]:
            faults.append(f"{name}: a header was injected")
    assert faults == []
