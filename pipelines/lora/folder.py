"""The one folder that adapters are taken from, and how a client's words become a file in it.

Triton's processes take the file system to be in ASCII. So names are turned into paths, and back, by their bytes, and
outside this module they are what people call them.
"""

import os
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from pipelines.lora.file import PEFT_WEIGHTS, AdapterFile, Version, read_adapter, version_of
from protocol.errors import InvalidRequest
from protocol.printable import printable, quoted

LORA_DIR_VARIABLE = "TRITONREEL_LORA_DIR"
"""environment variable with the folder, set by the launcher; without it there are no adapters"""

DIFFUSERS_WEIGHTS = "pytorch_lora_weights.safetensors"
SUFFIX = ".safetensors"
MAX_LISTED = 20
"""names in an error's message"""
_MAX_HEADERS = 512
"""kept in memory"""
_OTHER_SUFFIXES = frozenset({".bin", ".ckpt", ".pt", ".pth"})
"""of files that adapters come as, too, and that can hold code"""


@dataclass(frozen=True)
class Entry:
    """What lies in the folder and looks like an adapter."""

    name: str
    """what requests call it; where they cannot, something readable"""
    bytes: int
    trouble: str | None = None
    """why it cannot be found by that name"""


class LoraFolder:
    """Adapters are `<name>.safetensors`, or `<name>/` as PEFT or diffusers saves one.

    Args:
        root: None for no adapters.
    """

    def __init__(self, root: Path | None) -> None:
        self._root = root.resolve() if root is not None else None
        self._header = lru_cache(_MAX_HEADERS)(_read_version)

    def names(self) -> list[str]:
        """Every adapter that a name finds."""
        return [entry.name for entry in self.entries() if entry.trouble is None]

    def entries(self) -> list[Entry]:
        """Every file and folder that looks like an adapter, usable or not."""
        if self._root is None or not self._root.is_dir():
            return []
        found = {entry.name: entry for path in self._root.iterdir() if (entry := self._entry(path)) is not None}
        return [found[name] for name in sorted(found)]

    def _entry(self, path: Path) -> Entry | None:
        if path.name.startswith(".") or not (_looks_usable(path) or path.suffix in _OTHER_SUFFIXES):
            return None
        try:
            name = _from_file_system(path.name)
        except UnicodeDecodeError:
            readable = os.fsencode(path.name).decode(errors="backslashreplace")
            return Entry(printable(readable), _size(path), "its name is not in UTF-8; rename it")
        if path.suffix in _OTHER_SUFFIXES:
            return Entry(name, _size(path), f"only {SUFFIX} files are read; convert it")
        name = name.removesuffix(SUFFIX)
        if any(unicodedata.category(char) == "Cc" for char in name):
            return Entry(printable(name), _size(path), "its name has control characters; rename it")
        file = self._by_name(name)
        if file is None:
            return Entry(name, _size(path), "it is no file inside the folder of adapters")
        return Entry(name, _size(file))

    def by_name(self, name: str) -> AdapterFile:
        """Raises InvalidRequest when there is none, or it cannot be used."""
        return self._open(name, self._by_name(name))

    def by_path(self, path: str) -> AdapterFile:
        """The adapter at a path inside the folder, with its suffix or without. Raises as `by_name`."""
        return self._open(path, self._by_path(path))

    def by_name_or_path(self, words: str) -> AdapterFile:
        """Raises as `by_name`."""
        return self._open(words, self._by_name(words) or self._by_path(words))

    def relative(self, adapter: AdapterFile) -> str:
        """The path that `by_path` finds it by."""
        assert self._root is not None
        return _from_file_system(adapter.path.relative_to(self._root).as_posix())

    def _open(self, words: str, file: Path | None) -> AdapterFile:
        if file is not None:
            try:
                return self._header(file, words, version_of(file))
            except OSError:
                pass  # deleted this moment
        raise InvalidRequest(f"no adapter {quoted(words)}; {self._listed()}", "lora")

    def _by_name(self, name: str) -> Path | None:
        if "/" in name or name.startswith("."):
            return None
        return self._inside(name + SUFFIX) or self._inside(name) or self._spelled_otherwise(name)

    def _spelled_otherwise(self, name: str) -> Path | None:
        """Of a file from a Mac, say, where an accent is a letter of its own."""
        if self._root is None or name.isascii() or not self._root.is_dir():
            return None
        wanted = {unicodedata.normalize("NFC", spelled) for spelled in (name, name + SUFFIX)}
        for path in self._root.iterdir():
            stored = os.fsencode(path.name).decode(errors="replace")
            if unicodedata.normalize("NFC", stored) in wanted and (file := self._inside(stored)) is not None:
                return file
        return None

    def _by_path(self, path: str) -> Path | None:
        return self._inside(path) or self._inside(path + SUFFIX)

    def _inside(self, relative: str) -> Path | None:
        """The weights at a relative path, if they lie in the folder, links resolved."""
        if self._root is None or Path(relative).is_absolute() or ".." in Path(relative).parts:
            return None
        for within in _WITHIN:
            try:
                file = (self._root / _to_file_system(relative) / within).resolve(strict=True)
                _from_file_system(file.name)
            except (OSError, ValueError, RuntimeError):  # absent, a NUL or too long, a link to itself, no text
                continue
            if file.is_relative_to(self._root) and file.suffix == SUFFIX and file.is_file():
                return file
        return None

    def _listed(self) -> str:
        if self._root is None:
            return "the server was started without a folder of adapters"
        if not self._root.is_dir():
            return "the server's folder of adapters does not exist"
        names = self.names()
        more = f" and {len(names) - MAX_LISTED} more" if len(names) > MAX_LISTED else ""
        return f"there are: {', '.join(names[:MAX_LISTED])}{more}" if names else "the folder of adapters is empty"


_WITHIN = ("", PEFT_WEIGHTS, DIFFUSERS_WEIGHTS)
"""where the weights of an adapter are"""


def _looks_usable(path: Path) -> bool:
    if path.suffix == SUFFIX:
        return True
    return any(os.path.lexists(path / within) for within in _WITHIN[1:])


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # a link to nothing
        return 0


def _to_file_system(name: str) -> str:
    """A name as this process has to write it. Raises ValueError for what is no text."""
    return os.fsdecode(name.encode())


def _from_file_system(name: str) -> str:
    """A name as people write it. Raises UnicodeDecodeError for one that is not in UTF-8."""
    return os.fsencode(name).decode()


def _read_version(file: Path, words: str, version: Version) -> AdapterFile:
    """`version` makes a replaced file another entry of the cache."""
    return read_adapter(file, words)
