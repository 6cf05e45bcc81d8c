"""A bounded queue: so many jobs run, so many wait, one more is refused."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import NoReturn

from pipelines.errors import QueueFull


class Admission:
    """Places for jobs, first come first served.

    Args:
        max_running: jobs that hold a place at the same time.
        max_waiting: jobs that wait for one.
        changed: told (running, waiting) whenever they change.
    """

    def __init__(self, max_running: int, max_waiting: int, changed: Callable[[int, int], None]) -> None:
        self._max_running = max_running
        self._max_waiting = max_waiting
        self._changed = changed
        self._running = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @asynccontextmanager
    async def place(self, while_waiting: Callable[[], Awaitable[NoReturn]]) -> AsyncIterator[None]:
        """Hold a place; give it back on leaving.

        Args:
            while_waiting: runs beside the wait and ends it by raising.

        Raises:
            QueueFull: too many wait already.
        """
        if self._running < self._max_running:
            self._running += 1
        else:
            await self._wait(while_waiting)
        self._tell()
        try:
            yield
        finally:
            self._leave()

    async def _wait(self, while_waiting: Callable[[], Awaitable[NoReturn]]) -> None:
        if len(self._waiting) >= self._max_waiting:
            raise QueueFull(f"{self._running} jobs run and {len(self._waiting)} wait already; try again later")
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        self._tell()
        watch: asyncio.Future[None] = asyncio.ensure_future(while_waiting())
        try:
            await asyncio.wait({turn, watch}, return_when=asyncio.FIRST_COMPLETED)
            if not turn.done():
                watch.result()  # raises what ended the wait
        except BaseException:
            if turn.done():
                self._leave()
            else:
                self._waiting.remove(turn)
                self._tell()
            raise
        finally:
            watch.cancel()

    def _leave(self) -> None:
        if self._waiting:
            self._waiting.popleft().set_result(None)  # the place passes on, `_running` stays
        else:
            self._running -= 1
        self._tell()

    def _tell(self) -> None:
        self._changed(self._running, len(self._waiting))
