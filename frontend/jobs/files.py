"""Files of jobs: the images that they start from, and what they make."""

import asyncio
import os
import shutil
import uuid
from collections.abc import Collection
from pathlib import Path
from typing import Protocol


class Files(Protocol):
    """Keeps files by names `FOLDER/FILE`. What is read was written to its end."""

    async def put(self, name: str, data: bytes) -> None:
        """Returns when it is safe. Raises OSError."""
        ...

    async def get(self, name: str) -> bytes | None:
        """None where it is not found. Raises OSError."""
        ...

    async def remove(self, folder: str, keep: Collection[str] = ()) -> None:
        """All files of a folder but those called `keep`; the folder itself where none is. Raises OSError."""
        ...


class FolderFiles:
    """Files in a folder of this machine, which is made when the first one comes."""

    def __init__(self, root: Path) -> None:
        self._root = root

    async def put(self, name: str, data: bytes) -> None:
        await asyncio.to_thread(self._put, self._root / name, data)

    async def get(self, name: str) -> bytes | None:
        try:
            return await asyncio.to_thread((self._root / name).read_bytes)
        except FileNotFoundError:
            return None

    async def remove(self, folder: str, keep: Collection[str] = ()) -> None:
        await asyncio.to_thread(self._remove, self._root / folder, {self._root / name for name in keep})

    def _put(self, path: Path, data: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{uuid.uuid4().hex}")
        try:
            with temporary.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        for folder in (path.parent, self._root):  # the new names themselves
            _sync_folder(folder)

    def _remove(self, folder: Path, keep: set[Path]) -> None:
        if not keep:
            shutil.rmtree(folder, ignore_errors=not folder.exists())
            return
        for path in folder.iterdir():
            if path not in keep:
                path.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
