import stat
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from launcher.control_socket import ControlSocket, choose_parent
from launcher.errors import SetupError
from launcher.shared_memory import new_prefix


def test_folder_is_for_this_user_alone_and_goes_with_its_socket(tmp_path: Path) -> None:
    control = ControlSocket(new_prefix(), tmp_path)
    control.make()
    assert stat.S_IMODE(control.path.parent.stat().st_mode) == 0o700
    control.path.touch()
    control.remove()
    assert list(tmp_path.iterdir()) == []
    control.remove()


def test_a_path_that_a_shell_takes_as_it_is_stays_and_others_get_a_link(tmp_path: Path) -> None:
    control = ControlSocket(new_prefix(), tmp_path)
    control.make()
    plain, other = tmp_path / "plain", tmp_path / "my models"
    assert control.plain(plain, "models") == plain
    link = control.plain(other, "backends")
    assert (link.parent, link.readlink()) == (control.path.parent, other)
    control.remove()
    assert not control.path.parent.exists()


def test_folder_that_somebody_else_made_is_not_used(tmp_path: Path) -> None:
    control = ControlSocket(new_prefix(), tmp_path)
    control.path.parent.mkdir()
    with pytest.raises(SetupError, match="File exists"):
        control.make()


def test_folder_that_holds_anything_else_is_not_removed(tmp_path: Path) -> None:
    control = ControlSocket(new_prefix(), tmp_path)
    control.make()
    other = control.path.with_name("other")
    other.touch()
    control.remove()
    assert other.exists()


def test_no_other_folder_can_be_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not the prefix of a launch"):
        ControlSocket("../precious_", tmp_path)


@pytest.fixture
def short_path() -> Iterator[Path]:
    """An empty folder; pytest's have paths that are too long for sockets."""
    with TemporaryDirectory() as folder:
        yield Path(folder)


def test_it_goes_into_the_users_runtime_folder_if_that_is_private(
    short_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime, temporary = short_path / "runtime", short_path / "temporary"
    runtime.mkdir(mode=0o700)
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    assert choose_parent() == runtime
    runtime.chmod(0o755)
    assert choose_parent() == temporary
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(short_path / "absent"))
    assert choose_parent() == temporary
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    assert choose_parent() == temporary


def test_path_that_is_too_long_for_a_socket_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = tmp_path / ("x" * 100)
    long.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(long))
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    assert choose_parent() == Path("/tmp")
