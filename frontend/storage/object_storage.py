"""What a local folder and a bucket have in common: reading, listing and deleting, by `obstore`."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
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


class ObjectStorage:
    """Files as objects of `store`, read in chunks of `chunk_bytes`: each reader takes some of them in memory."""

    def __init__(self, store: LocalStore | S3Store, chunk_bytes: int) -> None:
        self._store = store
        self._chunk_bytes = chunk_bytes

    async def head(self, name: FileName) -> StoredFile | None:
        """See `Storage.head`."""
        versions = [file async for file in self.list(name.job_id) if file.name == name]
        return max(versions, key=lambda file: (file.stored_at, file.sha256), default=None)

    async def read(self, file: StoredFile, part: range | None = None) -> AsyncIterator[bytes]:
        """See `Storage.read`."""
        wanted = part or range(file.size)
        chunks = self._chunks(file, wanted)
        if wanted == range(file.size):
            chunks = _verified(chunks, file)
        first = await anext(chunks, b"")
        return _with_first(first, chunks)

    async def delete(self, name: FileName) -> None:
        """See `Storage.delete`."""
        for file in [file async for file, _ in self._objects(name.job_id) if file.name == name]:
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

    def _failed(self, error: Exception) -> NoReturn:
        """Raise what `error` of `obstore` is to us."""
        raise NotImplementedError from error

    async def delete_version(self, file: StoredFile) -> None:
        """Delete this file, and not what may have come in its place."""
        try:
            await obstore.delete_async(self._store, key_of(file))
        except FileNotFoundError:
            return
        except FAILURES as error:
            self._failed(error)

    async def _delete_others(self, kept: StoredFile) -> None:
        """What had the name of `kept` before it."""
        for file in [file async for file, _ in self._objects(kept.name.job_id) if file.name == kept.name]:
            if key_of(file) != key_of(kept):
                await self.delete_version(file)

    async def _chunks(self, file: StoredFile, part: range) -> AsyncGenerator[bytes, None]:
        # Each chunk is a request of its own: a slow client holds no connection to the storage.
        for start in range(part.start, part.stop, self._chunk_bytes):
            stop = min(start + self._chunk_bytes, part.stop)
            with self._reading():
                chunk = await obstore.get_range_async(self._store, key_of(file), start=start, end=stop)
            if len(chunk) != stop - start:
                raise damaged(file)
            yield bytes(chunk)

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
