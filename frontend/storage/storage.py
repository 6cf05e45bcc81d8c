"""What a storage of files does, whatever is behind it."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

_JOB_ID = re.compile(r"[A-Za-z0-9_-]{1,128}", re.ASCII)
_KIND = re.compile(r"[a-z]{1,32}", re.ASCII)
_MAX_PART = 9999


@dataclass(frozen=True)
class FileName:
    """Which file of which job. Nothing in it can lead out of a folder: ValueError."""

    job_id: str
    part: int = 0
    """which of the job's videos or images, counted from 0"""
    kind: str = "video"
    """what it is of it: `video`, `image`, `thumbnail`, ..."""

    def __post_init__(self) -> None:
        if not _JOB_ID.fullmatch(self.job_id):
            raise ValueError("a job id must be 1 to 128 letters, digits, hyphens and underscores")
        if not 0 <= self.part <= _MAX_PART:
            raise ValueError(f"part must be from 0 to {_MAX_PART}, got {self.part}")
        if not _KIND.fullmatch(self.kind):
            raise ValueError("kind must be 1 to 32 lowercase letters")


@dataclass(frozen=True)
class StoredFile:
    """A file as it is stored. Its content never changes: another content is another `StoredFile`."""

    name: FileName
    media_type: str
    size: int
    """bytes"""
    sha256: str
    """of the content, hexadecimal"""
    stored_at: float
    """unix time"""


class Storage(Protocol):
    """Keeps files. What is stored can be read whole or not at all, also when a process is killed while it stores.

    Every method raises, besides what it says: StorageUnavailable, StorageRefused.
    """

    @property
    def trouble(self) -> str | None:
        """Why files could not be stored when it was last tried; None if they could."""
        ...

    async def start(self) -> None:
        """Call it first: remove what an earlier process has left half-written."""
        ...

    async def close(self) -> None: ...

    async def put(self, name: FileName, content: bytes | Path, media_type: str) -> StoredFile:
        """Store `content`, or that of the file at the path; it takes the place of what has that name.

        Raises:
            StorageFull: there is no space for it.
        """
        ...

    async def head(self, name: FileName) -> StoredFile | None:
        """What is stored under a name."""
        ...

    async def read(self, file: StoredFile, part: range | None = None) -> AsyncIterator[bytes]:
        """The content in chunks of 1 MiB or so; only the bytes at the positions `part` where it is given.

        The first chunk has been read when this returns. Content that is read as a whole is compared with its
        checksum before its last chunk is given out.

        Raises:
            FileMissing: it was deleted.
            FileDamaged: the content is not what was stored; while the chunks are read, too.
        """
        ...

    async def delete(self, name: FileName) -> None:
        """Without effect where nothing has that name."""
        ...

    def list(self, job_id: str | None = None) -> AsyncIterator[StoredFile]:
        """The files of one job, or of all, in no order."""
        ...

    async def signed_url(self, file: StoredFile, seconds: float) -> str | None:
        """A URL from which whoever has it can read the file for `seconds`; None where the storage has no such thing."""
        ...


async def read_whole(storage: Storage, file: StoredFile) -> bytes:
    """The content. Raises as `Storage.read`."""
    return b"".join([chunk async for chunk in await storage.read(file)])
