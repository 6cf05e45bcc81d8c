"""Waiting in tests for what comes to pass, however busy the machine is."""

import asyncio
import time
from collections.abc import Callable

SECONDS = 240.0


async def until(condition: Callable[[], bool], seconds: float = SECONDS) -> None:
    """Let other tasks run until it is true. Raises AssertionError when that takes too long."""
    deadline = time.monotonic() + seconds
    await asyncio.sleep(0)  # what was begun goes as far as it can
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:g} s"
        await asyncio.sleep(0.01)


def wait_until(condition: Callable[[], bool], seconds: float = SECONDS, what: str = "") -> None:
    """As `until`, where there are no other tasks.

    Args:
        what: is waited for, for the error.
    """
    started = time.monotonic()
    while not condition():
        waited = time.monotonic() - started
        assert waited < seconds, f"not within {seconds:g} s: {what}"
        time.sleep(min(0.5, max(0.02, waited / 20)))  # what takes long is asked for less often: asking takes time too
