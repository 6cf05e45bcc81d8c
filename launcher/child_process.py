"""A long-running program in the background that writes to a log file and never outlives the launcher."""

import ctypes
import signal
import subprocess
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from launcher.errors import StartError, in_words
from launcher.log_file import LogFile
from launcher.private_files import keep_files_private

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


class ChildProcess:
    """One program; `start` it as often as needed. Its standard output and error are appended to `log`.

    The kernel kills it when the thread that called `start` ends, so call that from a thread that stays.
    """

    def __init__(self, log: Path) -> None:
        self._log = LogFile(log)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        return self._log.path

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def running_pid(self) -> int | None:
        """None while it does not run."""
        return self._process.pid if self._process is not None and self.running else None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Raises StartError when the log cannot be written, or the system refuses."""
        try:
            self._log.rotate()
            with self._log.open() as log:
                log.write(f"---- started {datetime.now():%Y-%m-%d %H:%M:%S}: {' '.join(command)}\n".encode())
                log.flush()
                self._log.mark()
                self._process = subprocess.Popen(
                    command,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,  # Ctrl-C reaches the launcher only, which stops its children in order
                    preexec_fn=prepare_child,
                )
        except (OSError, subprocess.SubprocessError) as error:
            raise StartError(f"Cannot start {Path(command[0]).name}: {in_words(error)}.", self.log) from error

    def stop(self, first: signal.Signals, grace: float) -> None:
        """Ask with the signal `first`, wait `grace` seconds, then kill."""
        if self.running:
            assert self._process is not None
            self._process.send_signal(first)
            try:
                self._process.wait(grace)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def exit_reason(self) -> str:
        """How it ended, in words."""
        code = self._process.poll() if self._process is not None else None
        if code is None:
            return "is running"
        return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"exited with status {code}"

    def rotate_log(self) -> None:
        """Call it now and then: the log is kept within bounds by this alone."""
        self._log.rotate()

    def last_lines(self, count: int = 20) -> str:
        """The last lines that this run of the program wrote."""
        return self._log.last_lines(count)


def prepare_child() -> None:
    """Between fork and exec: it ends with the thread that starts it, and what it makes is for this user alone."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    keep_files_private()
