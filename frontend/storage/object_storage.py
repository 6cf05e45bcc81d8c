"""What a local folder and a bucket have in common: reading, listing and deleting, by `obstore`."""

import asyncio
import hashlib
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from typing import NoReturn

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, S3Store

from frontend.errors import FileDamaged, FileMissing
from frontend.storage.object_key import file_at, key_of
from frontend.storage.storage import FileName, StoredFile

FAILURES = (OSError, BaseError)
"""what `obstore` raises when something goes wrong outside"""


class ObjectStorage(ABC):
    """Files as objects of `store`."""

    trouble: str | None = None
    """see `Storage.trouble`; whoever stores a file here hears of it at once"""

    def __init__(self, store: LocalStore | S3Store) -> None:
        self._store = store

    async def head(self, name: FileName) -> StoredFile | None:
        """See `Storage.head`."""
        versions = [file async for file in self.list(name.job_id) if file.name == name]
        return max(versions, key=lambda file: (file.stored_at, file.sha256), default=None)

    async def read(self, file: StoredFile, part: range | None = None) -> AsyncIterator[bytes]:
        """See `Storage.read`."""
        wanted = range(file.size) if part is None else part
        chunks = self._chunks(file, wanted)
        if wanted == range(file.size):
            chunks = _verified(chunks, file)
        first = await anext(chunks, b"")
        return _with_first(first, chunks)

    async def delete(self, name: FileName) -> None:
        """See `Storage.delete`."""
        for file in await self._versions(name):
            await self.delete_version(file)

    async def list(self, job_id: str | None = None) -> AsyncGenerator[StoredFile, None]:
        """See `Storage.list`."""
        async for file, whole in self._objects(job_id):
            if whole:
                yield file

    async def _objects(self, job_id: str | None) -> AsyncGenerator[tuple[StoredFile, bool], None]:
        """Files, and whether all of each is there."""
        prefix = None if job_id is None else FileName(job_id).job_id
        try:
            async for batch in obstore.list(self._store, prefix):
                for item in batch:
                    if file := file_at(item["path"], item["last_modified"].timestamp()):
                        yield file, file.size == item["size"]
        except FAILURES as error:
            self._failed(error)

    @abstractmethod
    def _failed(self, error: Exception) -> NoReturn:
        """Raise what `error` of `obstore` is to us."""

    async def delete_version(self, file: StoredFile) -> None:
        """Delete this file, and not what may have come in its place."""
        try:
            await obstore.delete_async(self._store, key_of(file))
        except FileNotFoundError:
            return
        except FAILURES as error:
            self._failed(error)

    async def _versions(self, name: FileName) -> Sequence[StoredFile]:
        """What has the name, whole or not: several files where it is being replaced."""
        return [file async for file, _ in self._objects(name.job_id) if file.name == name]

    async def _delete_replaced(self, before: Sequence[StoredFile], kept: StoredFile) -> None:
        """Delete what had the name of `kept` before it was written: not what somebody else has written meanwhile, who
        would delete `kept` likewise, so that nothing would be left."""
        for file in before:
            if key_of(file) != key_of(kept):
                await self.delete_version(file)

    @abstractmethod
    def _chunks(self, file: StoredFile, part: range) -> AsyncGenerator[bytes, None]:
        """The bytes at the positions `part`. Raises FileMissing, FileDamaged."""

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Raises what goes wrong as what it is to us."""
        try:
            yield
        except FileNotFoundError:
            raise FileMissing("the file was deleted from the storage") from None
        except FAILURES as error:
            self._failed(error)


async def _verified(chunks: AsyncIterator[bytes], file: StoredFile) -> AsyncGenerator[bytes, None]:
    """The chunks of a whole file; the last one not before the checksum has been found right."""
    digest = hashlib.sha256()
    held = b""
    async for chunk in chunks:
        if held:
            yield held
        await asyncio.to_thread(digest.update, chunk)
        held = chunk
    if digest.hexdigest() != file.sha256:
        raise damaged(file)
    yield held


async def _with_first(first: bytes, rest: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    yield first
    async for chunk in rest:
        yield chunk


def damaged(file: StoredFile) -> FileDamaged:
    """The error for content that is not what was stored."""
    return FileDamaged(f"the stored {file.name.kind} is damaged: its content is not what was stored")
