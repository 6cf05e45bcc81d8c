"""One client's connection: uvicorn's, with deadlines and a considerate end."""

import asyncio
import fcntl
import socket
import struct
import sys
import termios
from functools import cache
from http import HTTPStatus
from ipaddress import ip_address
from typing import Any, cast

import h11
from uvicorn._types import ASGIReceiveCallable, ASGISendCallable, ASGISendEvent, HTTPResponseBodyEvent, Scope
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import CLOSE_HEADER
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from frontend.errors import (
    FrontendError,
    HeadersTooLarge,
    MalformedRequest,
    RequestTimeout,
    TooManyConnections,
)
from frontend.http.connections import Connections
from frontend.http.errors import error_response
from frontend.http.request_parser import MAX_HEAD_BYTES, MAX_HEADERS, RequestParser
from frontend.http.security_headers import security_headers
from frontend.http.transfer_clock import TransferClock

CHECK_SECONDS = 0.5
_READ_BYTES = 64 * 1024
"""taken from a socket at a time; what comes is worked through at one go, while everybody else waits"""
_LINGER_SECONDS = 5.0
_LINGER_BYTES = 128 * 1024 * 1024


class Connection(H11Protocol):
    """Ends itself where the client does not send its headers, or does not read its answer.

    (The time that a body takes is `BodyLimitMiddleware`'s to bound, which knows when somebody waits for it.)

    Where the client still sends when the answer is complete, the connection lingers: it says that nothing more comes,
    and reads and forgets what the client has on its way. Were it closed at once, the client's system would be told so
    by a reset, which can destroy the answer before the client has read it.
    """

    def __init__(
        self,
        config: Config,
        server_state: Connections,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.conn = RequestParser()
        self._all = server_state
        self._limits = server_state.limits
        self._application = self.app
        self.app = self._run
        self._head_due: float | None = None
        """when the request that is awaited must have come; None while none is, or none has begun on a used connection,
        which uvicorn's own timer ends"""
        self._lingers_until: float | None = None
        self._linger_bytes = 0
        self._reader: TransferClock | None = None
        """runs while an answer waits to be read"""
        self._unread_bytes = 0
        self._checked_at = 0.0

    @property
    def is_local(self) -> bool:
        """The client is on this machine, as far as the address says."""
        try:
            return self.client is not None and ip_address(self.client[0]).is_loopback
        except ValueError:
            return False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        transport.max_size = _READ_BYTES  # type: ignore[attr-defined]  # of asyncio's own transports
        self._head_due = self.loop.time() + self._limits.head_seconds
        self._all.admit(self)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._unset_keepalive_if_required()
        self._all.forget(self)

    def data_received(self, data: bytes) -> None:
        if self._lingers_until is not None:
            self._linger_bytes -= len(data)
            if self._linger_bytes < 0:
                self._reset()
            return
        if self._head_due is None and not self._at_work:
            self._head_due = self.loop.time() + self._limits.head_seconds
        super().data_received(data)
        if self._at_work:
            self._head_due = None
            self._all.work(self)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._at_work or self._lingers_until is not None or self.transport.is_closing():
            return
        if self.conn.trailing_data[0]:  # the beginning of the next request
            self._unset_keepalive_if_required()
            self._head_due = self.loop.time() + self._limits.head_seconds
        self._rest_if_idle()

    def send_400_response(self, msg: str) -> None:
        """uvicorn calls this where h11 cannot read what came."""
        if getattr(sys.exc_info()[1], "error_status_hint", 400) == HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE:
            allowed = f"{MAX_HEAD_BYTES} bytes, in {MAX_HEADERS} headers"
            error: FrontendError = HeadersTooLarge(f"The request line and headers must have at most {allowed}")
        else:
            error = MalformedRequest("The request is not valid HTTP/1.1, or comes in too many small chunks")
        self._answer(_serialised(error))

    def refuse(self) -> None:
        """Answer 503, whatever the request will be."""
        self._answer(_refusal())

    def drop(self) -> None:
        """Free the place of a connection that rests."""
        if self.transport.get_write_buffer_size():
            self._reset()
        else:
            self.transport.close()

    def check(self, now: float) -> str | None:
        """Close the connection if it is too slow, and say what was. `now` is the event loop's time."""
        self._rest_if_idle()
        late = self._check_reader(now)
        if late is not None or self.transport.is_closing():
            return late
        if self._lingers_until is not None and now >= self._lingers_until:
            self.transport.close()
        elif self._head_due is not None and now >= self._head_due:
            late = "no complete request"
            if self.conn.trailing_data[0]:
                self._answer(_serialised(RequestTimeout("The request line and headers came too slowly")))
            else:
                self.transport.close()
        return late

    def _check_reader(self, now: float) -> str | None:
        if not self.transport.get_write_buffer_size():
            self._reader = None
            return None
        unread_bytes = self.transport.get_write_buffer_size() + self._bytes_in_kernel()
        if self._reader is None:
            self._reader = TransferClock(
                stall_seconds=self._limits.stall_seconds, min_bytes_per_second=self._limits.min_bytes_per_second
            )
        else:
            # Where this process was busy with something else, that is not the client's fault.
            seconds = min(now - self._checked_at, 2 * CHECK_SECONDS)
            self._reader.waited(seconds, max(0, self._unread_bytes - unread_bytes))
        self._checked_at, self._unread_bytes = now, unread_bytes
        if self._reader.seconds_left > 0:
            return None
        self._reset()
        return "the answer is not read"

    def resume_writing(self) -> None:
        super().resume_writing()
        self._reader = None  # more is written now, of which the client has had no time to read anything

    def _bytes_in_kernel(self) -> int:
        """What was sent and has not arrived. (The buffer itself shrinks by leaps, as long as minutes apart.)"""
        size = fcntl.ioctl(self.transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, bytes(4))
        return int.from_bytes(size, sys.byteorder)

    @property
    def _at_work(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete and self._lingers_until is None

    def _reset(self) -> None:
        """End the connection with all that is on its way. (After a mere close, the kernel would keep megabytes of it
        for a client that does not read.)"""
        at_once = struct.pack("ii", 1, 0)
        self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
        self.transport.abort()

    def _rest_if_idle(self) -> None:
        if not self._at_work and not self.transport.get_write_buffer_size():
            self._all.rest(self)

    def _should_upgrade(self) -> bool:
        return False  # there is nothing to upgrade to, and a client may ask in vain

    async def _run(self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        """The application, whose answer ends the connection where the body has not come, or the server stops."""
        cycle = self.cycle
        is_last = False

        async def send_or_end(message: ASGISendEvent) -> None:
            nonlocal is_last
            if message["type"] == "http.response.start":
                is_last = cycle.more_body or self._all.stop.begun
                if is_last:
                    message["headers"] = [*message.get("headers", ()), CLOSE_HEADER]
                await send(message)
            elif is_last and message["type"] == "http.response.body" and not message.get("more_body", False):
                # uvicorn closes after the last part, and so must not know that it is.
                await send(cast(HTTPResponseBodyEvent, {**message, "more_body": True}))
                self._end(cycle)
            else:
                await send(message)

        await self._application(scope, receive, send_or_end)

    def _end(self, cycle: RequestResponseCycle) -> None:
        """What uvicorn does after the last part of an answer, but linger."""
        if cycle.disconnected:
            return
        cycle.response_complete = True
        cycle.message_event.set()
        self.transport.write(self.conn.send(h11.EndOfMessage()) or b"")
        self._all.total_requests += 1
        self._linger()

    def _answer(self, answer: bytes) -> None:
        """Answer in the application's place, where there is no request that it could answer."""
        cycle = self.cycle
        if self._at_work:
            if cycle.response_started:
                self.transport.abort()
                return
            # For the application the client is gone.
            cycle.waiting_for_100_continue = False
            cycle.disconnected = True
            cycle.message_event.set()
        self.transport.write(answer)
        self._linger()

    def _linger(self) -> None:
        self._unset_keepalive_if_required()
        self._head_due = None
        self._lingers_until = self.loop.time() + _LINGER_SECONDS
        self._linger_bytes = _LINGER_BYTES
        self.flow.resume_reading()
        self.transport.write_eof()
        self._all.rest(self)


@cache  # whoever is refused by the thousand should not be logged by the thousand
def _refusal() -> bytes:
    return _serialised(TooManyConnections("The server has as many connections as it takes: try again later"))


def _serialised(error: FrontendError) -> bytes:
    response = error_response(error)
    response.headers.update(security_headers())
    lines = [f"HTTP/1.1 {response.status_code} {HTTPStatus(response.status_code).phrase}".encode()]
    lines += [name + b": " + value for name, value in (*response.raw_headers, CLOSE_HEADER)]
    return b"\r\n".join([*lines, b"", response.body])
