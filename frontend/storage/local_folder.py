"""A folder of this machine as a storage."""

import asyncio
import errno
import hashlib
import os
import time
import uuid
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import NoReturn

from obstore.store import LocalStore

from frontend.errors import StorageFull, StorageUnavailable
from frontend.storage.object_key import key_of, suffix_of
from frontend.storage.object_storage import ObjectStorage, damaged
from frontend.storage.storage import FileName, StoredFile

_PARTIAL = ".partial"
_ABANDONED_SECONDS = 3600.0
"""a partial file that nobody has written to for so long was left by a process that died"""
_CHUNK_BYTES = 512 * 1024
_ATTEMPTS = 5
_FULL = (errno.ENOSPC, errno.EDQUOT)


class LocalFolder(ObjectStorage):
    """Files below `folder`, which is made if it is not there. Several processes may use it.

    A file is written beside the others, brought to the disk, and then takes its name.

    Args:
        called: what an error message calls it.

    Raises:
        StorageUnavailable: the folder cannot be made.
    """

    def __init__(self, folder: Path, called: str = "the storage folder") -> None:
        self.folder = folder.absolute()
        self._called = called
        self._partial = self.folder / _PARTIAL
        try:
            self._partial.mkdir(0o700, parents=True, exist_ok=True)
        except OSError as error:
            self._failed(error)
        super().__init__(LocalStore(self.folder, automatic_cleanup=True))

    async def start(self) -> None:
        """See `Storage.start`."""
        await asyncio.to_thread(self._remove_abandoned)

    async def close(self) -> None:
        pass

    async def put(self, name: FileName, content: bytes | Path, media_type: str) -> StoredFile:
        """See `Storage.put`."""
        suffix_of(media_type)
        before = await self._versions(name)
        try:
            file = await asyncio.to_thread(self._write, name, content, media_type)
        except OSError as error:
            self._failed(error)
        await self._delete_replaced(before, file)
        return file

    async def signed_url(self, file: StoredFile, seconds: float) -> None:
        """See `Storage.signed_url`."""
        return

    def path_of(self, file: StoredFile) -> Path:
        return self.folder / key_of(file)

    async def _chunks(self, file: StoredFile, part: range) -> AsyncGenerator[bytes, None]:
        # One open file: who has begun to read goes on when it is deleted.
        with self._reading():
            source = await asyncio.to_thread(self.path_of(file).open, "rb", buffering=0)
        with source:
            for start in range(part.start, part.stop, _CHUNK_BYTES):
                size = min(_CHUNK_BYTES, part.stop - start)
                with self._reading():
                    chunk = await asyncio.to_thread(os.pread, source.fileno(), size, start)
                if len(chunk) != size:
                    raise damaged(file)
                yield chunk

    def _write(self, name: FileName, content: bytes | Path, media_type: str) -> StoredFile:
        self._partial.mkdir(0o700, parents=True, exist_ok=True)
        partial = self._partial / uuid.uuid4().hex
        try:
            size, sha256 = _write_through(partial, content)
            file = StoredFile(name, media_type, size, sha256, time.time())
            self._publish(partial, self.path_of(file))
        finally:
            partial.unlink(missing_ok=True)
        return file

    def _publish(self, partial: Path, path: Path) -> None:
        """Give a complete file its name."""
        for attempt in range(1, _ATTEMPTS + 1):
            new_folder = not path.parent.exists()
            try:
                path.parent.mkdir(0o700, exist_ok=True)
                partial.replace(path)
                break
            except FileNotFoundError:  # the job's folder went, as the last of its other files was deleted
                if attempt == _ATTEMPTS:
                    raise
        _sync_folder(path.parent)
        if new_folder:
            _sync_folder(self.folder)

    def _remove_abandoned(self) -> None:
        for partial in self._partial.glob("*"):
            try:
                if time.time() - partial.stat().st_mtime > _ABANDONED_SECONDS:
                    partial.unlink()
            except OSError:
                continue  # another process was quicker

    def _failed(self, error: Exception) -> NoReturn:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "an error of the file system"
        if isinstance(error, OSError) and error.errno in _FULL:
            raise StorageFull(f"the disk of {self._called} is full: make space, then try again") from error
        raise StorageUnavailable(f"{self._called} cannot be used: {reason}") from error


def _write_through(path: Path, content: bytes | Path) -> tuple[int, str]:
    """Write a new file and bring it to the disk. Its size, and its checksum."""
    digest, size = hashlib.sha256(), 0
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb", buffering=0) as out:
        for chunk in _chunks_of(content):
            digest.update(chunk)
            size += len(chunk)
            while chunk:
                chunk = chunk[out.write(chunk) :]
        os.fsync(out.fileno())
    return size, digest.hexdigest()


def _chunks_of(content: bytes | Path) -> Iterator[memoryview]:
    if isinstance(content, bytes):
        whole = memoryview(content)
        for start in range(0, len(whole), _CHUNK_BYTES):
            yield whole[start : start + _CHUNK_BYTES]
        return
    with content.open("rb") as source:
        while chunk := source.read(_CHUNK_BYTES):
            yield memoryview(chunk)


def _sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        return  # deleted again
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
