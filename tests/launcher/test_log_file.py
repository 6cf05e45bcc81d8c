"""A log that a child process writes stays within bounds, and its last lines can always be read."""

import resource
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from launcher.log_file import LogFile

CHILD = "import sys\nfor line in sys.stdin: sys.stdout.write(line); sys.stdout.flush(); sys.stderr.write('.')"


@contextmanager
def writer(log: LogFile) -> Iterator["subprocess.Popen[str]"]:
    """A child that writes to the log each line that it is told, and says when it has."""
    with (
        log.open() as output,
        subprocess.Popen(
            [sys.executable, "-c", CHILD],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.PIPE,
            text=True,
        ) as child,
    ):
        yield child
        assert child.stdin is not None
        child.stdin.close()


def write(child: "subprocess.Popen[str]", line: str) -> None:
    assert child.stdin is not None
    assert child.stderr is not None
    child.stdin.write(line + "\n")
    child.stdin.flush()
    assert child.stderr.read(1) == "."


def parts(log: LogFile) -> list[str]:
    """What the log's files hold, the oldest first."""
    files = sorted(log.path.parent.iterdir(), reverse=True)
    return [file.read_text() for file in files if file != log.path] + [log.path.read_text()]


def test_no_line_is_lost_while_the_child_writes_on(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "logs" / "child.log", max_bytes=25, kept=3)
    with writer(log) as child:
        for number in range(9):
            write(child, f"line {number:04}")
            log.rotate()
    lines = (
        "line 0000\nline 0001\nline 0002\n",
        "line 0003\nline 0004\nline 0005\n",
        "line 0006\nline 0007\nline 0008\n",
    )
    assert parts(log) == [*lines, ""]


def test_old_parts_are_dropped(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "child.log", max_bytes=5, kept=2)
    with writer(log) as child:
        for number in range(50):
            write(child, f"line {number:04}")
            log.rotate()
    assert parts(log) == ["line 0048\n", "line 0049\n", ""]


def test_last_lines_are_those_of_this_run_also_after_a_rotation(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "child.log", max_bytes=25)
    log.path.write_text("an earlier run\n")
    log.mark()
    assert log.last_lines() == ""
    with writer(log) as child:
        write(child, "first")
        assert log.last_lines() == "first"
        write(child, "a long second")
        log.rotate()
        assert log.path.stat().st_size == 0
        write(child, "third")
        assert log.last_lines() == "third"


def test_parts_are_for_this_user_alone_whatever_they_were(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "child.log", max_bytes=1)
    log.path.write_text("left open by an earlier release\n")
    log.path.chmod(0o644)
    log.open().close()
    log.rotate()
    assert len(list(tmp_path.iterdir())) == 2
    for file in tmp_path.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_without_room_for_a_copy_the_log_is_cut_all_the_same(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    log = LogFile(tmp_path / "child.log", max_bytes=1)
    log.path.write_text("x" * 5000)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        log.rotate()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == [log.path]
    assert log.path.stat().st_size == 0
    assert "cannot keep a copy" in caplog.text


def test_a_log_that_was_removed_is_nobodys_trouble(tmp_path: Path) -> None:
    LogFile(tmp_path / "child.log").rotate()
