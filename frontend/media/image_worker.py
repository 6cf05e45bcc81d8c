"""The process that decodes images: `python -m frontend.media.image_worker PARENT`.

It reads requests from its standard input and answers on its standard output until the former ends:

    request   REQUEST: the length of the file, width, height
    answer    READY, at once
    request   the file
    answer    ANSWER: a `Status`, the length of what follows; then the pixels, or a sentence that says what is wrong

Whatever a file makes of it stays in here: memory is limited by the size that the file's header names, nothing can be
written, and nobody but the server is spoken to.
"""

import ctypes
import os
import resource
import signal
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path

from frontend.media.image_file import read_header
from frontend.media.image_header import ImageError
from frontend.media.pixels import fitted_pixels

REQUEST = struct.Struct(">QII")
READY = b"+"
ANSWER = struct.Struct(">BQ")

# Measured: 8 while one copy is made of most images, 12 for progressive JPEG in four colours, 16 for WebP.
_BYTES_PER_PIXEL = 24
_FILE_COPIES = 4
_OTHER_BYTES = 64 << 20
_PR_SET_PDEATHSIG = 1


class Status(IntEnum):
    DECODED = 0
    REFUSED = 1


def main() -> None:
    _confine(parent=int(sys.argv[1]))
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    before = _address_space()
    while len(request := requests.read(REQUEST.size)) == REQUEST.size:
        length, width, height = REQUEST.unpack(request)
        answers.write(READY)
        answers.flush()
        file = requests.read(length)
        if len(file) < length:
            return
        status, content = _answer(file, width, height, before)
        answers.write(ANSWER.pack(status, len(content)))
        answers.write(content)
        answers.flush()


def _confine(parent: int) -> None:
    """End with the server, leave no traces, write no files."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it was over before
        sys.exit()
    for limit in (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE):
        resource.setrlimit(limit, (0, 0))


def _answer(file: bytes, width: int, height: int, before: int) -> tuple[Status, bytes]:
    try:
        header = read_header(file)
        needed = _BYTES_PER_PIXEL * (header.width * header.height + width * height) + _FILE_COPIES * len(file)
        with _limited_memory(before + needed + _OTHER_BYTES):
            return Status.DECODED, fitted_pixels(file, width, height)
    except ImageError as error:
        return Status.REFUSED, error.message.encode()


@contextmanager
def _limited_memory(address_space: int) -> Iterator[None]:
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = address_space if hard == resource.RLIM_INFINITY else min(address_space, hard)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (hard, hard))


def _address_space() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * resource.getpagesize()


if __name__ == "__main__":
    main()
