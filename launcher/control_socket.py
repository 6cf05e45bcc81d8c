"""The Unix socket of Triton's HTTP service, through which models are loaded: for this user alone.

Who can load a model can run code, so this service has no TCP port that a web page or another user could reach. The
socket is in a folder of its own rather than in the run folder: a socket's path has little more than 100 bytes.
The folder's path is also one that needs no quotes, and so has links for folders whose paths do.
"""

import contextlib
import os
import re
import tempfile
from pathlib import Path
from typing import Literal

from launcher import shared_memory
from launcher.errors import SetupError
from launcher.private_files import OTHERS

_SOCKET = "triton.sock"
_SWAP_SOCKET = "swap.sock"
_LINKS = ("models", "backends")
_MAX_PATH_BYTES = 107  # of `sockaddr_un`
_PLAIN = re.compile(r"[A-Za-z0-9_@%+=:,./-]+")


class ControlSocket:
    """Folder and socket of one launch; the folder is there between `make` and `remove`.

    Args:
        launch: the launch's `shared_memory.new_prefix()`, unique and not to be guessed, which names the folder.
        parent: see `choose_parent`.
    """

    def __init__(self, launch: str, parent: Path) -> None:
        shared_memory.check_prefix(launch)
        self.parent = parent
        self._folder = parent / launch.removesuffix("_")
        self.path = self._folder / _SOCKET
        self.swap = self._folder / _SWAP_SOCKET
        """of the launcher, for `generate`"""

    def make(self) -> None:
        """Make the folder; tritonserver makes the socket. Raises SetupError."""
        try:
            self._folder.mkdir(mode=0o700)  # fails where somebody was faster: then it is not ours
        except OSError as error:
            raise SetupError(
                f"Cannot make {self._folder} for Triton's control socket: {error.strerror}. "
                "Say with the environment variable TMPDIR where else temporary files may be."
            ) from error

    def plain(self, folder: Path, link: Literal["models", "backends"]) -> Path:
        """`folder`, or a link to it if a shell would not take its path as it is: Triton has one start model processes,
        and quotes nothing. Raises SetupError."""
        if _PLAIN.fullmatch(str(folder)):
            return folder
        try:
            (self._folder / link).symlink_to(folder)
        except OSError as error:
            raise SetupError(f"Cannot make a link to {folder} in {self._folder}: {error.strerror}.") from error
        return self._folder / link

    def remove(self) -> None:
        """Remove all of it that is there, and the folder if it holds nothing else."""
        with contextlib.suppress(OSError):
            for name in (_SOCKET, _SWAP_SOCKET, *_LINKS):
                (self._folder / name).unlink(missing_ok=True)
            self._folder.rmdir()


def choose_parent() -> Path:
    """Where the folder goes: the user's own folder for sockets if there is one, or one for temporary files.

    Raises SetupError when there is none with a path that is short and plain enough.
    """
    runtime = Path(os.environ.get("XDG_RUNTIME_DIR", ""))
    candidates = [runtime] if _is_private(runtime) else []
    with contextlib.suppress(FileNotFoundError):
        candidates.append(Path(tempfile.gettempdir()))
    for parent in (*candidates, Path("/tmp")):
        longest = parent / f"tritonreel_{os.getpid()}_00000000" / _SOCKET
        is_fit = len(os.fsencode(longest)) <= _MAX_PATH_BYTES and _PLAIN.fullmatch(str(longest))
        if is_fit and os.access(parent, os.W_OK | os.X_OK):
            return parent
    raise SetupError("There is no folder for temporary files; name one with the environment variable TMPDIR.")


def _is_private(folder: Path) -> bool:
    try:
        status = folder.stat()
    except OSError:
        return False
    return folder.is_absolute() and status.st_uid == os.getuid() and not status.st_mode & OTHERS
