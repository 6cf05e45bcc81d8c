"""Stages run at the same time in processes of their own, and end together when one fails."""

import os
import time
from functools import partial
from pathlib import Path

import pytest

from toy.training.errors import TrainingError
from toy.training.side_by_side import run_side_by_side

_LONG = 300.0


def meet(folder: Path, own: str, other: str) -> None:
    """Ends only if the other runs at the same time."""
    (folder / own).write_text(str(os.getpid()))
    while not (folder / other).exists():
        time.sleep(0.01)


def fail_beside(folder: Path) -> None:
    while not (folder / "sleeper").exists():
        time.sleep(0.01)
    raise RuntimeError("as planned")


def sleep(folder: Path) -> None:
    (folder / "sleeper").write_text(str(os.getpid()))
    time.sleep(_LONG)
    (folder / "woke").touch()


def test_all_run_at_once(tmp_path: Path) -> None:
    run_side_by_side([partial(meet, tmp_path, "a", "b"), partial(meet, tmp_path, "b", "a")])
    assert len({(tmp_path / name).read_text() for name in "ab"} | {str(os.getpid())}) == 3


def test_one_failure_stops_the_others(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="exit code 1"):
        run_side_by_side([partial(sleep, tmp_path), partial(fail_beside, tmp_path)])
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "sleeper").read_text()), 0)
    assert not (tmp_path / "woke").exists()
