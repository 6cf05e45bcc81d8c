"""A storage that can be away, behind a folder that is here."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import structlog

from frontend.errors import FileDamaged, FileMissing, StorageError, StorageFull, StorageRefused, StorageUnavailable
from frontend.storage.local_folder import LocalFolder
from frontend.storage.object_key import key_of
from frontend.storage.retry import until_available
from frontend.storage.storage import FileName, Storage, StoredFile

_log = structlog.get_logger(__name__)


class SpooledStorage:
    """Files come to `spool` first and leave it when `remote` has them: what cannot be uploaded is uploaded later.

    Args:
        patience_seconds: how long `put` waits for a storage that is away, until it fails. The file stays.
        pause_seconds: between two attempts to upload what has stayed.
    """

    def __init__(
        self, remote: Storage, spool: LocalFolder, *, patience_seconds: float = 60, pause_seconds: float = 30
    ) -> None:
        self._remote = remote
        self._spool = spool
        self._patience_seconds = patience_seconds
        self._pause_seconds = pause_seconds
        self._uploading: dict[FileName, asyncio.Lock] = {}
        """so that of each name one file is uploaded at a time"""
        self._damaged: set[str] = set()
        """keys of files that are not tried again"""
        self._later: asyncio.Task[None] | None = None
        self.trouble: str | None = None
        """see `Storage.trouble`"""

    async def start(self) -> None:
        """See `Storage.start`. What an earlier process has not uploaded is uploaded from now on."""
        await self._spool.start()
        await self._remote.start()
        self._later = asyncio.create_task(self._upload_later())

    async def close(self) -> None:
        """What is not uploaded stays in the spool folder."""
        if self._later is not None:
            self._later.cancel()
            with suppress(asyncio.CancelledError):
                await self._later
        await self._remote.close()

    async def put(self, name: FileName, content: bytes | Path, media_type: str) -> StoredFile:
        """See `Storage.put`. Returns when the file is where other machines find it.

        Raises:
            StorageUnavailable, StorageRefused, StorageFull: it is not, but it is here, and will be uploaded.
        """
        try:
            file = await self._spool.put(name, content, media_type)
        except StorageFull:
            return await until_available(lambda: self._remote.put(name, content, media_type), self._patience_seconds)
        try:
            await until_available(lambda: self._upload(file), self._patience_seconds)
        except StorageError as error:
            _log.warning("file waits for its upload", job_id=name.job_id, part=name.part, reason=error.message)
            raise
        return file

    async def head(self, name: FileName) -> StoredFile | None:
        """See `Storage.head`."""
        return await self._spool.head(name) or await self._remote.head(name)

    async def read(self, file: StoredFile, part: range | None = None) -> AsyncIterator[bytes]:
        """See `Storage.read`."""
        if self._spool.path_of(file).exists():
            with suppress(FileMissing):  # it was uploaded meanwhile
                return await self._spool.read(file, part)
        return await self._remote.read(file, part)

    async def delete(self, name: FileName) -> None:
        """See `Storage.delete`."""
        await self._spool.delete(name)
        await self._remote.delete(name)

    async def list(self, job_id: str | None = None) -> AsyncGenerator[StoredFile, None]:
        """See `Storage.list`."""
        waiting = set()
        async for file in self._spool.list(job_id):
            waiting.add(key_of(file))
            # Not stored yet, so no sweep finds it too old.
            yield replace(file, stored_at=time.time())
        async for file in self._remote.list(job_id):
            if key_of(file) not in waiting:
                yield file

    async def signed_url(self, file: StoredFile, seconds: float) -> str | None:
        """See `Storage.signed_url`; None while the file waits for its upload, too."""
        if self._spool.path_of(file).exists():
            return None
        return await self._remote.signed_url(file, seconds)

    async def _upload(self, file: StoredFile) -> None:
        """Bring a file of the spool folder to the storage, unless that is done."""
        path = self._spool.path_of(file)
        async with self._uploading.setdefault(file.name, asyncio.Lock()):
            try:
                if path.exists():
                    await self._move(file, path)
                    self.trouble = None
            except (StorageUnavailable, StorageRefused, StorageFull) as error:
                self.trouble = error.message
                raise
            finally:
                self._uploading.pop(file.name, None)

    async def _move(self, file: StoredFile, path: Path) -> None:
        try:
            uploaded = await self._remote.put(file.name, path, file.media_type)
        except FileNotFoundError:
            return  # deleted before the upload began
        if uploaded.sha256 != file.sha256:
            await self._remote.delete(file.name)
            self._damaged.add(key_of(file))
            raise FileDamaged(f"the {file.name.kind} in the spool folder is damaged")
        if not path.exists():  # deleted while it was uploaded
            await self._remote.delete(file.name)
        await self._spool.delete_version(file)

    async def _upload_later(self) -> None:
        """Upload, again and again, what has stayed."""
        while True:
            try:
                async for file in self._spool.list():
                    await self._try_to_upload(file)
            except (StorageUnavailable, StorageRefused, StorageFull) as error:
                _log.warning("files wait for their upload", reason=error.message)
            except Exception:
                _log.exception("the upload of waiting files failed")
            await asyncio.sleep(self._pause_seconds)

    async def _try_to_upload(self, file: StoredFile) -> None:
        if file.name in self._uploading or key_of(file) in self._damaged:
            return
        try:
            await self._upload(file)
        except FileDamaged as error:  # the others can still be uploaded
            _log.error("file cannot be uploaded", job_id=file.name.job_id, part=file.name.part, reason=error.message)
