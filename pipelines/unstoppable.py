"""Waiting for what cannot be stopped."""

import asyncio
from typing import TypeVar

T = TypeVar("T")


async def until_done(future: asyncio.Future[T]) -> T:
    """The result of `future`, such as a call in a thread, which goes on whoever waits for it.

    When cancelled, this ends only with the future: who cancels a job wants to know when nothing runs for it any more.
    """
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        await asyncio.gather(future, return_exceptions=True)
        raise
