"""Bounds what a request body may cost: its own size, the time that it takes, and the memory of all bodies together."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from frontend.errors import FrontendError, PayloadTooLarge, RequestTimeout, UnsupportedContentEncoding
from frontend.http.content_encoding import DecodedBody, encoding_of
from frontend.http.errors import error_response
from frontend.http.held_bodies import HeldBodies, HeldBody
from frontend.http.transfer_clock import TransferClock


@dataclass(frozen=True)
class BodyLimits:
    """What a body may have and take."""

    max_bytes: int
    """as it is sent, and as it is decoded"""
    max_bytes_at: Mapping[str, int]
    """paths with a limit of their own"""
    stall_seconds: float
    min_bytes_per_second: float
    """see `TransferClock`; it runs only while the application waits for the client"""


class BodyLimitMiddleware:
    """Decodes bodies. Answers 413 to one that is too large, declared, counted or decoded; 408 to one that is too slow;
    503 when too much is held already. It does so as soon as it knows, and the rest of the body is not read.

    A body counts as held until its request is answered, as the handler may need it for as long.
    """

    def __init__(self, app: ASGIApp, *, limits: BodyLimits, held: HeldBodies) -> None:
        self._app = app
        self._limits = limits
        self._held = held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        max_bytes = self._limits.max_bytes_at.get(scope["path"], self._limits.max_bytes)
        declared = _declared_bytes(scope)
        if declared is not None and declared > max_bytes:
            await error_response(_too_large(max_bytes))(scope, receive, send)
            return

        try:
            encoding = encoding_of(Headers(scope=scope).getlist("Content-Encoding")) if _has_body(scope) else None
        except UnsupportedContentEncoding as error:
            await error_response(error)(scope, receive, send)
            return

        held = self._held.begin(max_bytes if declared is None or encoding else declared)
        sent = _SentBody(receive, max_bytes, self._limits)
        body = _HeldBody(DecodedBody(sent.receive, encoding).receive if encoding else sent.receive, held, max_bytes)
        answering = refused = False

        async def receive_within_limits() -> Message:
            nonlocal refused
            if not refused:
                try:
                    return await body.receive()
                except FrontendError as error:
                    refused = True
                    if not answering:
                        await error_response(error)(scope, receive, send)
            # The rest of the body is nobody's: for the application the client is gone.
            return {"type": "http.disconnect"}

        async def send_unless_refused(message: Message) -> None:
            nonlocal answering
            if not refused:
                answering = True
                await send(message)

        try:
            await self._app(scope, receive_within_limits, send_unless_refused)
        finally:
            held.release()


class _SentBody:
    """A body as its client sends it: in time, and not too much."""

    def __init__(self, receive: Receive, max_bytes: int, limits: BodyLimits) -> None:
        self._receive = receive
        self._max_bytes = max_bytes
        self._num_bytes = 0
        self._clock = TransferClock(
            stall_seconds=limits.stall_seconds, min_bytes_per_second=limits.min_bytes_per_second
        )
        self._complete = False

    async def receive(self) -> Message:
        """The next message. Raises PayloadTooLarge, RequestTimeout."""
        if self._complete:  # what comes now is the disconnect, after as long as the client cares to wait
            return await self._receive()
        started = time.monotonic()
        try:
            message = await self._receive_in_time()
        except TimeoutError:
            raise RequestTimeout("The body came too slowly, or stopped before its end") from None
        num_bytes = len(message.get("body", b""))
        self._clock.waited(time.monotonic() - started, num_bytes)
        self._num_bytes += num_bytes
        if self._num_bytes > self._max_bytes:
            raise _too_large(self._max_bytes)
        self._complete = not message.get("more_body", False)
        return message

    async def _receive_in_time(self) -> Message:
        try:
            async with asyncio.timeout(self._clock.seconds_left):
                return await self._receive()
        except TimeoutError:
            # It may have arrived while this process was busy with something else: what is there already counts.
            async with asyncio.timeout(0):
                return await self._receive()


class _HeldBody:
    """A body as the application gets it, counted among all that are held."""

    def __init__(self, receive: Receive, held: HeldBody, max_bytes: int) -> None:
        self._receive = receive
        self._held = held
        self._max_bytes = max_bytes
        self._complete = False

    async def receive(self) -> Message:
        """The next message. Raises PayloadTooLarge, TooManyUploads, and what `receive` raises."""
        if self._complete:
            return await self._receive()
        await self._held.wait_for_room()
        message = await self._receive()
        self._held.add(len(message.get("body", b"")))
        if self._held.num_bytes > self._max_bytes:
            raise _too_large(self._max_bytes, ", decoded")
        self._complete = not message.get("more_body", False)
        return message


def _too_large(max_bytes: int, how: str = "") -> PayloadTooLarge:
    return PayloadTooLarge(f"The body must have at most {max_bytes} bytes{how}")


def _has_body(scope: Scope) -> bool:
    headers = Headers(scope=scope)
    return "Transfer-Encoding" in headers or headers.get("Content-Length", "0") != "0"


def _declared_bytes(scope: Scope) -> int | None:
    """`Content-Length`; None where it is absent or not a number (counting what arrives still holds the limit)."""
    try:
        return max(0, int(Headers(scope=scope)["Content-Length"]))
    except (KeyError, ValueError):
        return None
