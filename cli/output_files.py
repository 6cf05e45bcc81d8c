"""Where what is made is written: never over a file that is there. Pipes and devices take it as stdout does."""

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from cli.job import Job, JobFile
from cli.server import Server

STDOUT = "-"
_SLUG = 40
"""characters of a prompt in a file's name"""
_SUFFIXES = {"video/mp4": ".mp4", "image/png": ".png", "image/jpeg": ".jpg", "image/webp": ".webp"}


class OutputError(Exception):
    """It cannot be written there; a sentence."""


def check_output(output: str | None, count: int) -> None:
    """Before a job exists. Raises OutputError where `count` files could not be written."""
    if output == STDOUT:
        if count > 1:
            raise OutputError("stdout takes one file: leave out -n, or name a file")
        if sys.stdout.isatty():
            raise OutputError("stdout is a terminal: pipe it somewhere, or name a file")
        return
    path = Path(output or ".")
    if count > 1 and _is_device(path):
        raise OutputError(f"{str(path)!r} takes one file: leave out -n, or name a file")
    folder = path if path.is_dir() else path.parent
    if not folder.is_dir():
        raise OutputError(f"there is no folder {str(folder)!r}")
    if not os.access(folder, os.W_OK):
        raise OutputError(f"nothing can be written into the folder {str(folder)!r}")


def write_files(server: Server, job: Job, output: str | None) -> Iterator[tuple[JobFile, Path | None]]:
    """Fetch the files of a completed job.

    Args:
        output: a file, which is numbered if there are several; a folder, or None for this one: then the names are
            made of prompt and seed; `-` for stdout.

    Yields:
        Each, and where it is now; None for stdout.

    Raises:
        OutputError, ClientError.
    """
    files = sorted(job.fields.files, key=lambda file: file.index)
    for file in files:
        if output == STDOUT:
            with server.file(file.url) as pieces:
                for piece in pieces:
                    sys.stdout.buffer.write(piece)
            sys.stdout.buffer.flush()
            yield file, None
            continue
        wanted = _path(job, file, output)
        if len(files) > 1:
            wanted = wanted.with_stem(f"{wanted.stem}-{file.index + 1}")
        yield file, _write(server, file, wanted)


def _write(server: Server, file: JobFile, wanted: Path) -> Path:
    """Returns the path, which has another number where there was such a file already."""
    path, number = wanted, 2
    while True:
        try:
            stream = path.open("wb" if _is_device(path) else "xb")
            break
        except FileExistsError:
            path = wanted.with_stem(f"{wanted.stem}-{number}")
            number += 1
        except OSError as error:
            raise OutputError(f"{str(path)!r} cannot be written: {error.strerror}") from None
    try:
        with stream, server.file(file.url) as pieces:
            stream.writelines(pieces)
    except BaseException as error:
        if not _is_device(path):
            path.unlink(missing_ok=True)  # a part of a file
        if isinstance(error, OSError):
            raise OutputError(f"{str(path)!r} cannot be written: {error.strerror}") from None
        raise
    return path


def _is_device(path: Path) -> bool:
    """As /dev/null, or a pipe: nothing is lost where it is written to."""
    return path.exists() and not (path.is_file() or path.is_dir())


def _path(job: Job, file: JobFile, output: str | None) -> Path:
    path = Path(output or ".")
    if not path.is_dir():
        return path
    seed = job.fields.files[0].seed
    words = [slug(job.fields.prompt) or job.fields.kind, "" if seed is None else str(seed)]
    return path / ("-".join(filter(None, words)) + _SUFFIXES.get(file.media_type, ""))


def slug(prompt: str) -> str:
    """Its first words, as a name of a file: lower-case letters and digits of any script, and hyphens."""
    words = re.findall(r"[^\W_]+", prompt.lower())
    return "-".join(words)[:_SLUG].strip("-")
