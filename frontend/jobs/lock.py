"""A file that one process has for itself."""

import fcntl
from pathlib import Path
from typing import IO

from frontend.jobs.errors import JobsError


class FileLock:
    """Held from `acquire` to `release`, or to the end of the process, however that comes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: IO[str] | None = None

    def acquire(self) -> None:
        """Raises JobsError: another process has it. Raises OSError."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        file = self.path.open("w")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            raise JobsError(f"Another frontend keeps its jobs here; each SQLite file serves one: {self.path}") from None
        self._file = file

    def release(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
