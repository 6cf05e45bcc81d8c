"""Sends what a job has beside its frames, in a task of its own, so that no step waits for it."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class BackgroundSender(Generic[T]):
    """One thing after the other.

    Args:
        send: makes and sends it.
        failed: told what `send` raised; nothing is sent any more then.
        keeps: how many things wait at most for a slow client; then the oldest is left out.
    """

    def __init__(self, send: Callable[[T], Awaitable[None]], failed: Callable[[str], None], keeps: int = 1) -> None:
        self._send = send
        self._failed = failed
        self._waiting: deque[T] = deque(maxlen=keeps)
        self._work: asyncio.Task[None] | None = None
        self.has_failed = False

    def put(self, thing: T) -> None:
        """Returns at once."""
        if self.has_failed:
            return
        self._waiting.append(thing)
        if self._work is None or self._work.done():
            self._work = asyncio.create_task(self._send_all())

    async def finish(self) -> None:
        """Returns when everything is sent."""
        if self._work is not None:
            await asyncio.shield(self._work)

    async def close(self) -> None:
        """Send no more. Returns when nothing is under way."""
        if self._work is not None:
            self._work.cancel()
            await asyncio.gather(self._work, return_exceptions=True)

    async def _send_all(self) -> None:
        try:
            while self._waiting:
                await self._send(self._waiting.popleft())
        except Exception as error:
            self.fail(repr(error))

    def fail(self, reason: str) -> None:
        """Send nothing any more, and say why, once."""
        if not self.has_failed:
            self.has_failed = True
            self._waiting.clear()
            self._failed(reason)
