"""Deletes files that have become too old, whoever has stored them."""

import asyncio
import time
from contextlib import suppress

import structlog

from frontend.errors import StorageError
from frontend.storage.storage import Storage

_PAUSE_SECONDS = 600.0
_log = structlog.get_logger(__name__)


async def delete_older(storage: Storage, stored_before: float) -> int:
    """Delete what was stored before `stored_before`, unix time. How many files that were.

    Raises:
        StorageError: the storage does not work; what was deleted until then is gone.
    """
    old = [file async for file in storage.list() if file.stored_at < stored_before]
    for file in old:
        await storage.delete(file.name)
    return len(old)


class Sweeper:
    """Deletes, now and then, what is older than `max_age_seconds`: files of processes that have died, too."""

    def __init__(self, storage: Storage, max_age_seconds: float) -> None:
        self._storage = storage
        self._max_age_seconds = max_age_seconds
        self._sweeping: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._sweeping = asyncio.create_task(self._sweep())

    async def close(self) -> None:
        if self._sweeping is not None:
            self._sweeping.cancel()
            with suppress(asyncio.CancelledError):
                await self._sweeping

    async def _sweep(self) -> None:
        while True:
            try:
                deleted = await delete_older(self._storage, time.time() - self._max_age_seconds)
            except StorageError as error:
                _log.warning("old files cannot be deleted", reason=error.message)
            else:
                if deleted:
                    _log.info("old files deleted", files=deleted)
            await asyncio.sleep(_PAUSE_SECONDS)
