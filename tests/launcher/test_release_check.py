"""A repository of the same format follows the installed release, but for what somebody has edited."""

import logging
from pathlib import Path

import pytest

from launcher.errors import SetupError
from launcher.release_check import check_release, export_command
from launcher.settings import TOY_REPOSITORY
from protocol.repository import FORMAT, OWN_REPOSITORY, REPOSITORY_FILE, RepositoryStamp, companions, stamp

LEAF = "wan_vae/config.pbtxt"
GENERATE = "generate/config.pbtxt"
MODEL = "generate/1/model.py"


def write_companions(repository: Path, content: str) -> Path:
    for path in (LEAF, GENERATE, MODEL):
        (repository / path).parent.mkdir(parents=True, exist_ok=True)
        (repository / path).write_text(content)
    return repository


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """What the installed release comes with."""
    return write_companions(tmp_path / "own", "of this release")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Written by another release, which had all companions otherwise. It holds one checkpoint."""
    other = write_companions(tmp_path / "other", "of the other release")
    folder = write_companions(tmp_path / "models", "of the other release")
    (folder / "generate" / "1" / "wan_t2v").mkdir()
    (folder / "generate" / "1" / "wan_t2v" / "card.json").touch()
    write(stamp(folder, other, written=[]), folder, release="0.0.1")
    return folder


def write(current: RepositoryStamp, repository: Path, **changes: object) -> None:
    (repository / REPOSITORY_FILE).write_bytes(current.model_copy(update=changes).to_bytes())


def contents(repository: Path) -> dict[str, str]:
    return {path: (repository / path).read_text() for path in (LEAF, GENERATE, MODEL)}


def test_what_an_older_release_wrote_becomes_what_this_one_would_write(repository: Path, own: Path) -> None:
    check_release(repository, own)
    assert contents(repository) == contents(own)
    found = RepositoryStamp.read(repository)
    assert (found.format, found.outdated(repository, own)) == (FORMAT, [])
    assert found.release != "0.0.1"
    check_release(repository, own)  # and there is nothing left to do


def test_what_somebody_has_edited_stays_and_is_named(
    repository: Path, own: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (repository / GENERATE).write_text("edited")
    for _ in range(2):
        caplog.clear()
        check_release(repository, own)
        assert contents(repository) == contents(own) | {GENERATE: "edited"}
        (warning,) = (record for record in caplog.records if record.levelno == logging.WARNING)
        assert f"{repository / GENERATE} has been edited" in warning.message
        assert str(own / GENERATE) in warning.message


def test_an_edit_of_what_this_release_wrote_is_nobody_s_business(
    repository: Path, own: Path, caplog: pytest.LogCaptureFixture
) -> None:
    check_release(repository, own)
    (repository / GENERATE).write_text("edited")
    caplog.clear()
    check_release(repository, own)
    assert (repository / GENERATE).read_text() == "edited"
    assert not caplog.records


@pytest.mark.parametrize("content", [None, b"", b"{", b'{"format": 0}'], ids=["none", "empty", "broken", "0"])
def test_a_repository_of_an_older_format_is_refused_and_stays_as_it_is(
    repository: Path, own: Path, content: bytes | None
) -> None:
    (repository / REPOSITORY_FILE).unlink()
    if content is not None:
        (repository / REPOSITORY_FILE).write_bytes(content)
    before = contents(repository)
    with pytest.raises(SetupError) as raised:
        check_release(repository, own)
    assert "written by an older release of Tritonreel" in str(raised.value)
    assert f"python -m export PATH/TO/CHECKPOINT --to {repository}" in str(raised.value)
    assert contents(repository) == before


def test_a_repository_of_a_newer_format_is_refused_with_its_release(repository: Path, own: Path) -> None:
    write(RepositoryStamp.read(repository), repository, release="9.1.0", format=FORMAT + 1)
    with pytest.raises(SetupError, match=r"written by a newer release, Tritonreel 9\.1\.0"):
        check_release(repository, own)


def test_a_repository_without_checkpoints_has_no_release(own: Path, tmp_path: Path) -> None:
    check_release(write_companions(tmp_path / "empty", "anything"), own)
    assert contents(tmp_path / "empty")[LEAF] == "anything"


def test_the_toys_are_exported_again_by_make() -> None:
    assert export_command(TOY_REPOSITORY) == "make export"


def test_this_release_comes_with_generate_and_every_model_s_configuration() -> None:
    paths = companions(OWN_REPOSITORY)
    assert MODEL in paths
    assert {f"{folder.name}/config.pbtxt" for folder in OWN_REPOSITORY.iterdir() if folder.is_dir()} <= set(paths)
