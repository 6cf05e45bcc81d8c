"""The server's end of a process that decodes images."""

import os
import select
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from frontend.media.image_header import ImageError
from frontend.media.image_worker import ANSWER, READY, REQUEST, Status

_ROOT = Path(__file__).parents[2]
# Nothing of the server's environment, but where its Python finds its libraries. Large blocks of memory go back to the
# system as soon as they are free.
_ENVIRONMENT = {"PYTHONPATH": str(_ROOT), "MALLOC_MMAP_THRESHOLD_": "262144", "MALLOC_ARENA_MAX": "1"}
_KEPT_VARIABLES = ("LD_LIBRARY_PATH",)
_MAX_MESSAGE_BYTES = 1000


class ImageProcessDied(Exception):
    """The process ended, or was ended, before it had answered."""


class ImageProcess:
    """One process, for one image after the other. Methods block; `kill` may be called while another one runs.

    The kernel ends the process with the thread that made it, so make it in one that stays.
    """

    def __init__(self) -> None:
        kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-s", "-W", "ignore", "-m", "frontend.media.image_worker", str(os.getpid())],
            env=_ENVIRONMENT | kept,
            cwd="/",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the server, which then finishes what it does
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def prepare(self, length: int, width: int, height: int, timeout: float) -> None:
        """Announce a file of `length` bytes that is to be fitted to a size; `fit` must follow.

        Raises:
            ImageProcessDied: the process is dead, or does not say within `timeout` seconds that it is there.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(REQUEST.pack(length, width, height))
            self._process.stdin.flush()
        except OSError:
            raise ImageProcessDied("it does not read") from None
        answers = select.poll()  # `select.select` refuses descriptors above 1,023
        answers.register(self._process.stdout, select.POLLIN)
        if not answers.poll(timeout * 1000) or self._process.stdout.read(1) != READY:
            raise ImageProcessDied("it does not answer")

    def fit(self, file: bytes, width: int, height: int) -> bytes:
        """The pixels, uint8 [height, width, RGB].

        Raises:
            ImageError: the file is refused or cannot be decoded.
            ImageProcessDied: it was too much for the process, or `kill` was called.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(file)
            self._process.stdin.flush()
        except OSError:
            raise ImageProcessDied("it stopped reading") from None
        head = self._process.stdout.read(ANSWER.size)
        if len(head) < ANSWER.size:
            raise ImageProcessDied("it stopped answering")
        status, length = ANSWER.unpack(head)
        expected = 3 * width * height
        if length > max(expected, _MAX_MESSAGE_BYTES):
            raise ImageProcessDied("its answer is too long")
        content = self._process.stdout.read(length)
        if status == Status.REFUSED and len(content) == length:
            raise ImageError(content.decode())
        if len(content) != expected:
            raise ImageProcessDied("its answer is cut short")
        return content

    def kill(self) -> None:
        self._process.kill()

    def cleanup(self) -> None:
        """Wait for its end, and close the pipes."""
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(OSError):  # what could not be written any more
                if pipe is not None:
                    pipe.close()
