"""Checkpoints of a job that runs, from which its next run goes on.

They are a help, and nothing depends on them: what goes wrong with one is logged, and the job goes on.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Literal

import structlog
from sqlalchemy.exc import SQLAlchemyError

from frontend.errors import StorageError
from frontend.jobs.state import Job
from frontend.storage.storage import FileName, Storage, read_whole

KIND = "checkpoint"
"""of their files"""
_MEDIA_TYPE = "application/octet-stream"
_PATIENCE_SECONDS = 2.0
"""for which the end of a job waits for a storage that does not answer; a sweep removes what stays"""
_log = structlog.get_logger(__name__)

Standing = Literal["runs", "replaced", "ended"]
"""of a run: it is the job's last one; a later one has begun; the job is over"""


class Checkpoints:
    """Those of one run of a job, the newest of each of its parts.

    Args:
        standing: asks how the run stands; it may raise SQLAlchemyError.
    """

    def __init__(self, job: Job, storage: Storage, standing: Callable[[Job], Awaitable[Standing]]) -> None:
        self._job = job
        self._storage = storage
        self._standing = standing
        self._stored = set(range(len(job.spec.samples))) if job.fence > 1 else set[int]()
        """parts of which there may be one"""
        self.loaded: set[int] = set()
        """parts that went on from one"""
        self._waiting: dict[int, bytes] = {}
        self._writing: asyncio.Task[None] | None = None

    async def load(self, part: int) -> bytes | None:
        """The newest of a part, also of an earlier run; None where there is none that can be read."""
        if self._writing is not None:  # one that came just before the engine was lost
            await asyncio.wait((self._writing,), timeout=_PATIENCE_SECONDS)
        if part not in self._stored:
            return None
        try:
            file = await self._storage.head(self._name(part))
            if file is None:
                return None
            content = await read_whole(self._storage, file)
        except StorageError as error:
            _log.warning("a checkpoint cannot be read", job=self._job.spec.id, part=part, reason=error.message)
            return None
        self.loaded.add(part)
        return content

    def save(self, part: int, content: bytes) -> None:
        """Keep it in place of the part's last one. Returns at once; of those that come too fast some are left out."""
        self._waiting[part] = content
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write())

    async def discard(self, part: int) -> None:
        """Nothing can go on from the part's checkpoint."""
        with suppress(StorageError):
            await self._storage.delete(self._name(part))

    async def close(self) -> None:
        """Write no more: the run is over."""
        self._waiting.clear()
        if self._writing is not None:
            await asyncio.wait((self._writing,), timeout=_PATIENCE_SECONDS)
            self._writing.cancel()
            await asyncio.gather(self._writing, return_exceptions=True)

    async def remove(self) -> None:
        """Remove them all, after `close`: the job is over."""
        with suppress(StorageError, TimeoutError):
            async with asyncio.timeout(_PATIENCE_SECONDS):
                for part in self._stored:
                    await self._storage.delete(self._name(part))

    async def _write(self) -> None:
        while self._waiting:
            part, content = self._waiting.popitem()
            try:
                if await self._standing(self._job) != "runs":
                    return
                self._stored.add(part)
                await self._storage.put(self._name(part), content, _MEDIA_TYPE)
                if await self._standing(self._job) == "ended":  # meanwhile, elsewhere
                    await self._storage.delete(self._name(part))
            except (StorageError, SQLAlchemyError) as error:
                _log.warning("a checkpoint is not kept", job=self._job.spec.id, part=part, reason=str(error))

    def _name(self, part: int) -> FileName:
        return FileName(self._job.spec.id, part, KIND)
