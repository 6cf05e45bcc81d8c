"""A process of its own that cleans up at once after a launcher that was killed.

tritonserver and the frontend end with the launcher by the kernel's doing. The processes of Triton's models do not: a
parent-death signal would come when the thread of tritonserver that started them ends, which is right after loading, and
while one computes it does not look whether tritonserver is still there. They and their shared memory are the reaper's.
"""

import contextlib
import logging
import os
import subprocess
import sys
from pathlib import Path

from launcher.control_socket import ControlSocket
from launcher.private_files import keep_files_private
from launcher.shared_memory import unlink_all
from launcher.stub_processes import kill_leftovers

logger = logging.getLogger(__name__)

_END_SECONDS = 10.0
_KEPT_VARIABLES = ("LD_LIBRARY_PATH", "PYTHONPATH")
"""where its Python finds its libraries; no secrets"""


class Reaper:
    """Runs from `start` to `stop`, or until the launcher is no more.

    Args:
        shm_prefix: of the launch's shared memory, by which its processes are known too.
        socket_parent: see `ControlSocket`.
    """

    def __init__(self, shm_prefix: str, socket_parent: Path) -> None:
        # not `-m launcher.reaper`: who kills `-m launcher` by name must spare it
        self._command = [sys.executable, "-c", f"from {__name__} import main; main()", shm_prefix, str(socket_parent)]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Raises OSError when the system has no room for another process."""
        # Its standard input is a pipe whose other end nobody but the launcher has.
        self._process = subprocess.Popen(
            self._command,
            env={name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ},
            stdin=subprocess.PIPE,
            start_new_session=True,
            preexec_fn=keep_files_private,
        )

    def stop(self) -> None:
        """Call it when everything has ended in order."""
        if self._process is not None:
            assert self._process.stdin is not None
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
            try:
                self._process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def ensure_running(self) -> None:
        """Start it again if it was killed itself."""
        if self._process is not None and self._process.poll() is not None:
            self.start()
            logger.warning("the process that would clean up after this launcher ended; it was started again")


def main() -> None:
    """Arguments: as of `Reaper`."""
    _, shm_prefix, socket_parent = sys.argv
    sys.stdin.buffer.read()
    while kill_leftovers(shm_prefix):
        pass  # one that was just being started may have been missed
    unlink_all(shm_prefix)
    ControlSocket(shm_prefix, Path(socket_parent)).remove()
