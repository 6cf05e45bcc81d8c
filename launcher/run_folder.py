"""The folder of one instance: who runs there, and cleaning up after one that was killed."""

import contextlib
import fcntl
import json
import logging
import os
import signal
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import psutil
from pydantic import TypeAdapter

from launcher import shared_memory
from launcher.control_socket import ControlSocket
from launcher.errors import LauncherError, SetupError, in_words
from launcher.stub_processes import kill_leftovers

logger = logging.getLogger(__name__)

_STATE = "launcher.json"
_LOCK = "lock"
_STOP_SECONDS = 30.0


@dataclass(frozen=True)
class InstanceState:
    """What a later launch needs to know of this one; `launcher.json` in the run folder."""

    pid: int
    started: float
    """when that process started, in seconds since the epoch: tells it from a later one with its pid"""
    shm_prefix: str
    socket_parent: str = "/tmp"
    """see `ControlSocket`"""


_INSTANCE_STATE = TypeAdapter(InstanceState)


class RunFolder:
    """Held by one launcher at a time, through a lock that the kernel drops when the launcher dies."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock: IO[str] | None = None

    def __enter__(self) -> Self:
        """Raises SetupError when a running launcher holds the folder, or it cannot be used."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._lock = _try_lock(self._folder)
        except OSError as error:
            raise _unusable(self._folder, error) from error
        if self._lock is None:
            raise SetupError(
                f"A server already runs in {self._folder}{_pid_note(self._folder)}. "
                "Stop it with `make stop`, or choose another port with --port or another folder with --run-dir."
            )
        try:
            _clean_up(self._folder)
        except OSError as error:
            self._lock.close()
            raise _unusable(self._folder, error) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._lock is not None
        with contextlib.suppress(OSError):  # what is in it does no harm: no process of its pid was started then
            (self._folder / _STATE).unlink(missing_ok=True)
        self._lock.close()

    def record(self, shm_prefix: str, socket_parent: Path) -> None:
        """Write down what must be cleaned up if this launcher is killed. Raises SetupError."""
        state = InstanceState(os.getpid(), psutil.Process().create_time(), shm_prefix, str(socket_parent))
        file = self._folder / _STATE
        partial = file.with_suffix(".part")
        try:
            partial.write_text(json.dumps(asdict(state)))
            partial.replace(file)
        except OSError as error:
            raise _unusable(self._folder, error) from error


def stop_instance(folder: Path) -> bool:
    """Stop the launcher that runs in `folder`; False when none does. Raises LauncherError when it does not end."""
    try:
        if not (folder / _LOCK).exists():
            return False
        lock = _try_lock(folder)
        if lock is not None:
            with lock:
                _clean_up(folder)
            return False
    except OSError as error:
        raise LauncherError(f"Cannot look for a server in {folder}: {in_words(error)}.") from error
    state = _read_state(folder)
    if state is None or not _is_running(state):
        raise LauncherError(f"A server is starting or stopping in {folder}; try again in a moment.")
    os.kill(state.pid, signal.SIGTERM)
    deadline = time.monotonic() + _STOP_SECONDS
    while time.monotonic() < deadline:
        lock = _try_lock(folder)
        if lock is not None:
            lock.close()
            return True
        time.sleep(0.1)
    raise LauncherError(f"The server in {folder} (pid {state.pid}) did not stop within {_STOP_SECONDS:.0f} s.")


def _unusable(folder: Path, error: OSError) -> SetupError:
    reason = in_words(error)
    if isinstance(error, FileExistsError) and folder.is_symlink() and not folder.exists():
        reason = f"it is a link to {folder.readlink()}, which does not exist"
    elif isinstance(error, FileExistsError | NotADirectoryError):
        reason = f"{error.filename} is not a folder"
    return SetupError(f"Cannot use the run folder {folder}: {reason}. Choose another one with --run-dir.")


def _try_lock(folder: Path) -> IO[str] | None:
    file = (folder / _LOCK).open("a")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


def _read_state(folder: Path) -> InstanceState | None:
    """None when there is none, or it is not one: then nothing can be known to be ours."""
    try:
        state = _INSTANCE_STATE.validate_json((folder / _STATE).read_bytes())
        shared_memory.check_prefix(state.shm_prefix)
    except (OSError, ValueError):
        return None
    return state


def _is_running(state: InstanceState) -> bool:
    try:
        return psutil.Process(state.pid).create_time() == state.started
    except psutil.NoSuchProcess:
        return False


def _pid_note(folder: Path) -> str:
    state = _read_state(folder)
    return f" (pid {state.pid})" if state else ""


def _clean_up(folder: Path) -> None:
    """Kill and remove what a launcher that was killed left behind."""
    state = _read_state(folder)
    if state is None:
        return
    logger.warning("the last launcher here (pid %d) was killed; removing what it left", state.pid)
    kill_leftovers(state.shm_prefix)
    shared_memory.unlink_all(state.shm_prefix)
    ControlSocket(state.shm_prefix, Path(state.socket_parent)).remove()
    (folder / _STATE).unlink()
