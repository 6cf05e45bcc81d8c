"""The one folder that adapters are taken from, and how a client's words become a file in it."""

from functools import lru_cache
from pathlib import Path

from pipelines.lora.file import PEFT_WEIGHTS, AdapterFile, Version, read_adapter, version_of
from protocol.errors import InvalidRequest
from protocol.printable import quoted

LORA_DIR_VARIABLE = "TRITONREEL_LORA_DIR"
"""environment variable with the folder, set by the launcher; without it there are no adapters"""

DIFFUSERS_WEIGHTS = "pytorch_lora_weights.safetensors"
SUFFIX = ".safetensors"
MAX_LISTED = 20
"""names in an error's message"""
_MAX_HEADERS = 128
"""kept in memory"""


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
        if self._root is None or not self._root.is_dir():
            return []
        stems = {entry.name.removesuffix(SUFFIX) for entry in self._root.iterdir() if entry.name.isprintable()}
        return sorted(name for name in stems if self._by_name(name) is not None)

    def by_name(self, name: str) -> AdapterFile:
        """Raises InvalidRequest when there is none, or it cannot be used."""
        return self._open(name, self._by_name(name))

    def by_path(self, path: str) -> AdapterFile:
        """The adapter at a path inside the folder. Raises as `by_name`."""
        return self._open(path, self._inside(path))

    def by_name_or_path(self, words: str) -> AdapterFile:
        """Raises as `by_name`."""
        return self._open(words, self._by_name(words) or self._inside(words))

    def relative(self, adapter: AdapterFile) -> str:
        """The path that `by_path` finds it by."""
        assert self._root is not None
        return adapter.path.relative_to(self._root).as_posix()

    def _open(self, words: str, file: Path | None) -> AdapterFile:
        if file is not None:
            try:
                return self._header(file, words, version_of(file))
            except FileNotFoundError:
                pass  # deleted this moment
        raise InvalidRequest(f"no adapter {quoted(words)}; {self._listed()}", "lora")

    def _by_name(self, name: str) -> Path | None:
        if "/" in name or name.startswith("."):
            return None
        return self._inside(name + SUFFIX) or self._inside(name)

    def _inside(self, relative: str) -> Path | None:
        """The weights at a relative path, if they lie in the folder, links resolved."""
        if self._root is None or Path(relative).is_absolute() or ".." in Path(relative).parts:
            return None
        for within in ("", PEFT_WEIGHTS, DIFFUSERS_WEIGHTS):
            try:
                file = (self._root / relative / within).resolve(strict=True)
            except (OSError, ValueError, RuntimeError):  # absent, a NUL or too long, a link to itself
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


def _read_version(file: Path, words: str, version: Version) -> AdapterFile:
    """`version` makes a replaced file another entry of the cache."""
    return read_adapter(file, words)
