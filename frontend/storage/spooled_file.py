"""A stored file where it can be read at any position."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import IO

from frontend.storage.storage import Storage, StoredFile

_IN_MEMORY = 8 * 1024 * 1024
"""bytes; larger ones are written to a file"""


@asynccontextmanager
async def spooled(storage: Storage, file: StoredFile) -> AsyncIterator[IO[bytes]]:
    """The whole content, at its beginning. Raises StorageError, see `Storage.read`."""
    with tempfile.SpooledTemporaryFile(_IN_MEMORY) as copy:
        async for chunk in await storage.read(file):
            await asyncio.to_thread(copy.write, chunk)
        copy.seek(0)
        yield copy
