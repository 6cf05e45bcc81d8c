"""A log that a child process appends to, kept within bounds by the launcher."""

import contextlib
import logging
import os
from pathlib import Path
from typing import IO

logger = logging.getLogger(__name__)

MAX_BYTES = 64 * 2**20
KEPT = 3
"""older parts: `NAME.1` is the newest"""
_TAIL_BYTES = 65536
_PART_BYTES = 2**20


class LogFile:
    """One log at `path`.

    The child writes to the file itself, so that its last lines are there however it ends, and nobody who is slow to
    read can hold it up. It opens the file once: so the file stays, and what is in it goes to another one.
    """

    def __init__(self, path: Path, max_bytes: int = MAX_BYTES, kept: int = KEPT) -> None:
        self.path = path
        self._max_bytes = max_bytes
        self._kept = kept
        self._mark = 0

    def open(self) -> IO[bytes]:
        """For a child to append to; for this user alone, also if an earlier release left it open to others.

        Raises OSError.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        file = self.path.open("ab")
        with contextlib.suppress(PermissionError):  # another user's, and then his to close
            os.fchmod(file.fileno(), 0o600)
        return file

    def mark(self) -> None:
        """What comes from now on is of another run."""
        self._mark = self.path.stat().st_size

    def last_lines(self, count: int = 20) -> str:
        """The last lines since `mark`."""
        with self.path.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(self._mark, end - _TAIL_BYTES))
            text = file.read().decode(errors="replace")
        return "\n".join(text.splitlines()[-count:])

    def rotate(self) -> None:
        """Move what is in the file into a numbered one if it is more than `max_bytes`.

        What is written between the end of the copy and the cut, some microseconds, is lost. Without room on the disk
        for a copy all of it is: an old log is not worth a full disk.
        """
        try:
            if self.path.stat().st_size <= self._max_bytes:
                return
            with self.path.open("r+b") as file:
                try:
                    self._keep(file)
                except OSError as error:
                    logger.warning("cannot keep a copy of %s, starting it anew: %s", self.path, error.strerror)
                    self._numbered(1).unlink(missing_ok=True)
                finally:
                    file.truncate(0)
                    self._mark = 0
        except OSError:
            return  # somebody removed it, and the child writes to a file without a name; or it cannot be written to

    def _keep(self, file: IO[bytes]) -> None:
        """Copy `file`, while it grows, to the newest numbered file."""
        for number in range(self._kept, 1, -1):
            with contextlib.suppress(FileNotFoundError):
                self._numbered(number - 1).replace(self._numbered(number))
        left = 2 * max(self._max_bytes, os.fstat(file.fileno()).st_size)  # one who writes faster than this is cut short
        with self._numbered(1).open("wb") as copy:
            os.fchmod(copy.fileno(), 0o600)
            while left > 0 and (part := file.read(min(left, _PART_BYTES))):
                left -= len(part)
                copy.write(part)

    def _numbered(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")
