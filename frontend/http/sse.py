"""Server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass

from fastapi import Request
from fastapi.responses import StreamingResponse

from frontend.http.stop import Stop

LAST_EVENT_ID = "Last-Event-ID"
"""the header in which a client that was cut off says what it has heard"""
KEEP_ALIVE_SECONDS = 15.0
_LOOK_SECONDS = 0.5
"""how often a stream looks whether the server is stopping"""


@dataclass(frozen=True)
class ServerSentEvent:
    """One event."""

    type: str
    """what a browser's `addEventListener` names"""
    data: str
    """one line of JSON"""
    id: str | None = None
    """what `Last-Event-ID` repeats"""

    def encode(self) -> bytes:
        id_line = "" if self.id is None else f"id: {self.id}\n"
        return f"{id_line}event: {self.type}\ndata: {self.data}\n\n".encode()


def event_stream(request: Request, events: AsyncGenerator[ServerSentEvent, None]) -> StreamingResponse:
    """A response that sends `events` to their end, and comments meanwhile so that no proxy takes it for dead.

    It ends early, so that the client comes back, when the server is told to stop. `events` is closed at its end, and
    when the client leaves.
    """
    return StreamingResponse(
        _body(events, request.app.state.stop),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},  # nginx would hold them back
    )


async def _body(events: AsyncGenerator[ServerSentEvent, None], stop: Stop) -> AsyncIterator[bytes]:
    async with aclosing(events):
        silent = 0.0
        upcoming = asyncio.ensure_future(anext(events, None))
        try:
            while not stop.begun:
                await asyncio.wait((upcoming,), timeout=_LOOK_SECONDS)
                if upcoming.done():
                    event = upcoming.result()
                    if event is None:
                        return
                    yield event.encode()
                    silent = 0.0
                    upcoming = asyncio.ensure_future(anext(events, None))
                elif (silent := silent + _LOOK_SECONDS) >= KEEP_ALIVE_SECONDS:
                    yield b": alive\n\n"
                    silent = 0.0
        finally:
            upcoming.cancel()
            await asyncio.wait((upcoming,))
