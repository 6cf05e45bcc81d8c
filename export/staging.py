"""Building a model repository's new folders beside it, and putting them in place all at once.

Everything is made in a folder `.<repository>.export-...` next to the repository, on the same file system, and moved in
by renames only when all of it is finished. Before the first rename the plan is written down, so that an export
that dies between two renames is finished by the next one; one that dies earlier leaves the repository as it was.

Weights that were written completely and not published wait in `.<repository>.weights` for the next export, which need
not write them again. One that leaves none there removes the folder.
"""

import fcntl
import json
import os
import shutil
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

from export.errors import RepositoryError
from export.weights_file import keep_weights

_PLAN = "plan.json"
_NEW = "new"
_REPLACED = "replaced"


@contextmanager
def staged(repository: Path) -> Iterator["Staging"]:
    """A folder for one export to work in; it is gone afterwards, published or not.

    Raises:
        RepositoryError: when the repository or what is beside it cannot be written.
    """
    repository = repository.absolute()
    try:
        repository.mkdir(parents=True, exist_ok=True)
        if repository.stat().st_dev != repository.parent.stat().st_dev:
            raise RepositoryError(f"{repository} is a mount point; export into a folder inside it")
        _clear_stale(repository)
        folder = Path(mkdtemp(prefix=_prefix(repository), dir=repository.parent))
        lock = _try_lock(folder)
    except OSError as error:
        raise RepositoryError(f"cannot write beside {repository}: {error}") from error
    try:
        yield Staging(folder, repository)
    except OSError as error:
        raise RepositoryError(f"a file cannot be written or read: {error}") from error
    finally:
        try:
            if not _settle(folder, repository):
                shutil.rmtree(kept_weights(repository), ignore_errors=True)
        finally:
            if lock is not None:
                os.close(lock)


def kept_weights(repository: Path) -> Path:
    """The folder where weights of unfinished exports wait; it need not exist."""
    return repository.absolute().parent / f".{repository.name}.weights"


class Staging:
    """Collects the units, files and folders, that one export puts into the repository."""

    def __init__(self, folder: Path, repository: Path) -> None:
        self._folder = folder
        self._repository = repository
        self._units: list[str] = []

    def new(self, unit: str) -> Path:
        """Where to build a file or folder that will be `repository/unit`; its parent exists."""
        if unit not in self._units:
            self._units.append(unit)
        path = self._folder / _NEW / unit
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def publish(self, remove: Iterable[str] = (), units: Collection[str] | None = None) -> None:
        """Put new units in place, instead of what was there, and take away those of `remove`.

        Args:
            units: what is finished, where other units are still being built; None for all.
        """
        install = [unit for unit in self._units if units is None or unit in units]
        self._units = [unit for unit in self._units if unit not in install]
        plan = json.dumps({"install": install, "remove": list(remove)})
        draft = self._folder / f"{_PLAN}.draft"
        draft.write_text(plan)
        draft.rename(self._folder / _PLAN)
        _carry_out(self._folder, self._repository)


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
    (folder / _PLAN).unlink()


def _move(source: Path, target: Path) -> None:
    if source.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        source.rename(target)


def _settle(folder: Path, repository: Path) -> bool:
    """Whether it had weights to keep."""
    _carry_out(folder, repository)
    kept = [keep_weights(version, kept_weights(repository)) for version in folder.glob(f"{_NEW}/*/*/")]
    shutil.rmtree(folder, ignore_errors=True)
    return any(kept)


def _clear_stale(repository: Path) -> None:
    """Settle what exports left that were killed. A live one holds the lock on its folder."""
    for folder in repository.parent.iterdir():
        lock = _try_lock(folder) if folder.name.startswith(_prefix(repository)) else None
        if lock is not None:
            _settle(folder, repository)
            os.close(lock)


def _prefix(repository: Path) -> str:
    return f".{repository.name}.export-"


def _try_lock(folder: Path) -> int | None:
    """An open descriptor that holds the folder's lock until it is closed or its process ends; None when taken."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor
