"""Publishing is all or nothing, and what an export that died has left is settled by the next."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from export.errors import RepositoryError
from export.staging import Staging, staged


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Two models of an earlier export, one of which a new export replaces."""
    for model in ("vae", "transformer_2"):
        (tmp_path / "repository" / model / "1").mkdir(parents=True)
        (tmp_path / "repository" / model / "1" / "model.onnx").write_text("old")
    return tmp_path / "repository"


def contents(repository: Path) -> dict[str, str]:
    return {str(path.relative_to(repository)): path.read_text() for path in repository.rglob("*") if path.is_file()}


def leftovers(repository: Path) -> list[Path]:
    return [path for path in repository.parent.iterdir() if path != repository]


def stage(staging: Staging) -> None:
    for unit in ("vae/1", "transformer/1"):
        staging.new(unit).mkdir()
        (staging.new(unit) / "model.onnx").write_text("new")
    staging.new("transformer/config.pbtxt").write_text("configuration")


PUBLISHED = {
    "vae/1/model.onnx": "new",
    "transformer/1/model.onnx": "new",
    "transformer/config.pbtxt": "configuration",
}


def publish(repository: Path) -> None:
    with staged(repository) as staging:
        stage(staging)
        staging.publish(remove=["transformer_2/1"])


def stage_and_raise(repository: Path, error: BaseException) -> None:
    with staged(repository) as staging:
        stage(staging)
        raise error


def test_publishing_replaces_adds_and_removes(repository: Path) -> None:
    publish(repository)
    assert contents(repository) == PUBLISHED
    assert leftovers(repository) == []


def test_nothing_changes_before_publishing(repository: Path) -> None:
    before = contents(repository)
    with staged(repository) as staging:
        stage(staging)
        assert contents(repository) == before
    assert contents(repository) == before
    assert leftovers(repository) == []


@pytest.mark.parametrize("error", [ValueError(), KeyboardInterrupt(), SystemExit()])
def test_an_error_leaves_the_repository_as_it_was(repository: Path, error: BaseException) -> None:
    before = contents(repository)
    with pytest.raises(type(error)):
        stage_and_raise(repository, error)
    assert contents(repository) == before
    assert leftovers(repository) == []


def test_a_full_disk_is_an_export_error(repository: Path) -> None:
    with pytest.raises(RepositoryError, match="No space left"):
        stage_and_raise(repository, OSError(28, "No space left on device"))


def test_a_repository_that_cannot_be_made_is_an_export_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RepositoryError, match="cannot write beside"), staged(tmp_path / "file" / "repository"):
        pass


# An export that ends by kill -9: before publishing, or in publishing after so many renames.
KILLED = """
import os, signal, sys
from pathlib import Path
from export.staging import staged
from tests.export.test_staging import stage

renames = int(sys.argv[2])
rename = Path.rename

def rename_and_die(source, target):
    global renames
    if "plan" not in source.name:
        if renames == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        renames -= 1
    return rename(source, target)

with staged(Path(sys.argv[1])) as staging:
    stage(staging)
    if renames < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    Path.rename = rename_and_die
    staging.publish(remove=["transformer_2/1"])
"""


def export_and_die(repository: Path, renames: int) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED, str(repository), str(renames)], timeout=60)
    assert killed.returncode == -9


def test_an_export_killed_before_publishing_is_cleared_away_by_the_next(repository: Path) -> None:
    before = contents(repository)
    export_and_die(repository, renames=-1)
    assert len(leftovers(repository)) == 1
    with staged(repository):
        assert len(leftovers(repository)) == 1  # its own
    assert contents(repository) == before
    assert leftovers(repository) == []


@pytest.mark.parametrize("renames", range(5))
def test_an_export_killed_while_publishing_is_finished_by_the_next(repository: Path, renames: int) -> None:
    export_and_die(repository, renames)
    assert contents(repository) != PUBLISHED
    with staged(repository):
        pass
    assert contents(repository) == PUBLISHED
    assert leftovers(repository) == []


def test_an_export_that_still_runs_is_left_alone(repository: Path) -> None:
    with staged(repository) as running:
        stage(running)
        child = os.fork()
        if child == 0:
            with staged(repository):
                os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        running.publish()
    assert contents(repository) == {**PUBLISHED, "transformer_2/1/model.onnx": "old"}


def test_an_interrupt_amid_publishing_finishes_it(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rename = Path.rename

    def interrupted_rename(source: Path, target: Path) -> Path:
        moved = rename(source, target)
        if source.name == "1":
            monkeypatch.setattr(Path, "rename", rename)
            raise KeyboardInterrupt
        return moved

    monkeypatch.setattr(Path, "rename", interrupted_rename)
    with pytest.raises(KeyboardInterrupt):
        publish(repository)
    assert contents(repository) == PUBLISHED
    assert leftovers(repository) == []


def test_models_that_cannot_be_moved_in_are_kept_for_the_next_export(repository: Path) -> None:
    (repository / "transformer").write_text("a file where a folder must be")
    with pytest.raises(RepositoryError, match="cannot put the exported models in place"):
        publish(repository)
    (repository / "transformer").unlink()
    with staged(repository):
        pass
    assert contents(repository) == PUBLISHED
