"""Trying again while a storage is away."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from frontend.errors import StorageUnavailable

T = TypeVar("T")
_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 10.0


async def until_available(attempt: Callable[[], Awaitable[T]], patience_seconds: float) -> T:
    """What `attempt` comes to; it is made again after StorageUnavailable, with ever longer pauses.

    Raises:
        StorageUnavailable: of the last attempt, when a further one would begin later than after `patience_seconds`.
        Exception: any other, of the first attempt that ends so.
    """
    started, pause = time.monotonic(), _FIRST_PAUSE_SECONDS
    while True:
        try:
            return await attempt()
        except StorageUnavailable:
            if time.monotonic() - started + pause > patience_seconds:
                raise
        await asyncio.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
