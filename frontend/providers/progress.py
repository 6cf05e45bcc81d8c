"""Tells a caller's callback how far a video is."""

import inspect
from collections.abc import Awaitable, Callable

ProgressCallback = Callable[[float, str], Awaitable[None] | None]
"""per cent from 0 to 100, and what is being done; a plain function or a coroutine function"""


class Progress:
    """Calls `callback` in the event loop's own thread, one call after the other, never with less than before."""

    def __init__(self, callback: ProgressCallback | None) -> None:
        self._callback = callback
        self._percent = 0.0

    async def tell(self, percent: float, message: str) -> None:
        """What the callback raises is raised here: who breaks off is not asked for money again."""
        self._percent = max(self._percent, min(percent, 100.0))
        if self._callback is None:
            return
        called = self._callback(self._percent, message)
        if inspect.isawaitable(called):
            await called
