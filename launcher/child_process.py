"""A long-running program in the background that writes to a log file and never outlives the launcher."""

import ctypes
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_TAIL_BYTES = 65536
_libc = ctypes.CDLL(None, use_errno=True)


class ChildProcess:
    """One program; `start` it as often as needed. Its standard output and error are appended to `log`.

    The kernel kills it when the thread that called `start` ends, so call that from a thread that stays.
    """

    def __init__(self, log: Path) -> None:
        self.log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0

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
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            log.write(f"---- started {datetime.now():%Y-%m-%d %H:%M:%S}: {' '.join(command)}\n".encode())
            self._log_start = log.tell()
            self._process = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches the launcher only, which stops its children in order
                preexec_fn=_die_with_parent,
            )

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

    def last_lines(self, count: int = 20) -> str:
        """The last lines that this run of the program wrote."""
        with self.log.open("rb") as log:
            end = log.seek(0, os.SEEK_END)
            log.seek(max(self._log_start, end - _TAIL_BYTES))
            text = log.read().decode(errors="replace")
        return "\n".join(text.splitlines()[-count:])


def _die_with_parent() -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
