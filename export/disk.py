"""Whether a disk has room for what an export writes, before it begins."""

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from export.component import Task
from export.errors import RepositoryError
from export.options import Options
from export.precision import DTYPES
from export.stored_weights import StoredWeights

_BESIDES = 2**26
"""per component: the graph, weights that stay float32"""
_VAE_COPIES = 4
"""of a VAE's weights: the first and later chunks, each whole and in two parts"""
_GIGA = 1e9


@dataclass(frozen=True)
class DiskUse:
    """Of one export, in bytes."""

    needed: int
    """at most"""
    free: int

    def __str__(self) -> str:
        return f"at most {self.needed / _GIGA:.1f} GB are written; {self.free / _GIGA:.1f} GB are free"


def disk_use(tasks: Iterable[Task], options: Options, repository: Path, kept: Path) -> DiskUse:
    """What the tasks write beside the repository.

    Args:
        kept: weights of an interrupted export that are there already.

    Raises:
        CheckpointError: a file of weights is damaged.
        RepositoryError: with the numbers, where there is too little room.
    """
    needed = sum(_written(task, options) for task in tasks)
    needed = max(needed - sum(file.stat().st_size for file in kept.glob("*")), 0)
    use = DiskUse(needed, shutil.disk_usage(repository.parent).free)
    if use.needed > use.free:
        raise RepositoryError(
            f"the disk of {repository} is too small for this export: {use}; make room, or export into a folder on "
            "another disk, with --to"
        )
    return use


def _written(task: Task, options: Options) -> int:
    dtype = DTYPES[options.form(task.part).precision]
    weights = sum(header.count for header in StoredWeights(task.folder).headers.values()) * dtype.itemsize
    return _BESIDES + weights * (1 if task.part.bands is None else _VAE_COPIES)
