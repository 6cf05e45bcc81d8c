"""Building a model repository's new folders beside it, and putting them in place all at once.

Everything is made in `.<repository>.export-<pid>` next to the repository, on the same file system, and moved in
by renames only when all of it is finished. Before the first rename the plan is written down, so that an export
that dies between two renames is finished by the next one; one that dies earlier leaves the repository as it was.
"""

import fcntl
import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

from export.errors import RepositoryError

_PLAN = "plan.json"
_NEW = "new"
_REPLACED = "replaced"


class Staging:
    """The folder in which one export works. Leaving the context removes it, published or not."""

    def __init__(self, repository: Path) -> None:
        self.repository = repository.absolute()
        self.folder = self.repository.parent / f".{self.repository.name}.export-{os.getpid()}"
        self._units: list[str] = []

    def __enter__(self) -> "Staging":
        try:
            self.repository.mkdir(parents=True, exist_ok=True)
            if self.repository.stat().st_dev != self.repository.parent.stat().st_dev:
                raise RepositoryError(f"{self.repository} is a mount point; export into a folder inside it")
            _clear_stale(self.repository)
            (self.folder / _NEW).mkdir(parents=True)
        except OSError as error:
            raise RepositoryError(f"cannot write beside {self.repository}: {error}") from error
        self._lock = _try_lock(self.folder)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _settle(self.folder, self.repository)
        if self._lock is not None:
            os.close(self._lock)

    def new(self, unit: str) -> Path:
        """Where to build a file or folder that will be `repository/unit`; its parent exists."""
        self._units.append(unit)
        path = self.folder / _NEW / unit
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def publish(self, remove: Iterable[str] = ()) -> None:
        """Put every new unit in place, instead of what was there, and take away those of `remove`."""
        plan = json.dumps({"install": self._units, "remove": list(remove)})
        draft = self.folder / f"{_PLAN}.draft"
        draft.write_text(plan)
        draft.rename(self.folder / _PLAN)
        _carry_out(self.folder, self.repository)


def _carry_out(folder: Path, repository: Path) -> None:
    """Do what is left of the plan, if there is one."""
    if not (folder / _PLAN).exists():
        return
    plan = json.loads((folder / _PLAN).read_text())
    try:
        for unit in plan["remove"]:
            _move(repository / unit, folder / _REPLACED / unit)
        for unit in plan["install"]:
            if (folder / _NEW / unit).exists():
                _move(repository / unit, folder / _REPLACED / unit)
                _move(folder / _NEW / unit, repository / unit)
    except OSError as error:
        raise RepositoryError(
            f"cannot put the exported models in place: {error}. They wait in {folder}; the next export to "
            f"{repository} puts them there"
        ) from error


def _move(source: Path, target: Path) -> None:
    if source.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        source.rename(target)


def _settle(folder: Path, repository: Path) -> None:
    _carry_out(folder, repository)
    shutil.rmtree(folder, ignore_errors=True)


def _clear_stale(repository: Path) -> None:
    """Settle what exports left that were killed. A live one holds the lock on its folder."""
    for folder in repository.parent.glob(f".{repository.name}.export-*"):
        lock = _try_lock(folder)
        if lock is not None:
            _settle(folder, repository)
            os.close(lock)


def _try_lock(folder: Path) -> int | None:
    """An open descriptor that holds the folder's lock until it is closed or its process ends; None when taken."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor
