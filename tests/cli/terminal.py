"""A program in a terminal of its own: a pty, as a person sits before it."""

import fcntl
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import threading
from pathlib import Path

from tests.waiting import SECONDS, wait_until

ROWS, COLUMNS = 40, 100


class Terminal:
    """`tritonreel` in a terminal. A context manager, at whose end the program has ended.

    Args:
        arguments: of the command.
        folder: that it runs in.
        environment: what it has besides that of the tests.
    """

    def __init__(self, *arguments: str, folder: Path, **environment: str) -> None:
        self._own, its = pty.openpty()
        fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        dropped = ("TMUX", "TERM_PROGRAM", "KITTY_WINDOW_ID", "NO_COLOR", "FORCE_COLOR")
        kept = {name: value for name, value in os.environ.items() if name not in dropped}
        python_path = {"PYTHONPATH": str(Path(__file__).resolve().parents[2])}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "cli", *arguments],
            stdin=its,
            stdout=its,
            stderr=its,
            cwd=folder,
            env=kept | python_path | {"TERM": "xterm-256color", **environment},
            start_new_session=True,
            preexec_fn=_hear_ctrl_c,
        )
        os.close(its)
        self._shown = bytearray()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(SECONDS)
        self._reader.join(SECONDS)
        os.close(self._own)

    @property
    def shown(self) -> str:
        """All that was written to it until now, escape codes too."""
        return bytes(self._shown).decode(errors="replace")

    def wait_for(self, text: str) -> None:
        wait_until(lambda: text in self.shown or self._process.poll() is not None, what=text)
        assert text in self.shown, self.shown[-2000:]

    def press_ctrl_c(self) -> None:
        os.write(self._own, b"\x03")

    def status(self) -> int:
        """The exit status, once it has ended."""
        status = self._process.wait(SECONDS)
        self._reader.join(SECONDS)
        return status

    def _read(self) -> None:
        try:
            while piece := os.read(self._own, 65536):
                self._shown += piece
        except OSError:  # the program has ended, and its side is closed
            return


def _hear_ctrl_c() -> None:
    """In the new process: the terminal is its own, and it hears SIGINT even where tests run in the background."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
