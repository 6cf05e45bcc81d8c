"""What the launcher tells a person before it exits.

LauncherError
├── SetupError      found before anything was started: a port taken, a library missing, nothing exported
└── StartError      a process or a model did not come up
    └── LoadStalled     a model neither came up nor failed
"""

import shutil
from pathlib import Path


class LauncherError(Exception):
    """A message for the person at the console; the process exits with status 1."""


class SetupError(LauncherError):
    """Nothing was started: the message says what to change."""


class StartError(LauncherError):
    """A process or a model did not come up.

    `log` is the file that has the whole story; its name is part of the message.
    """

    def __init__(self, message: str, log: Path) -> None:
        super().__init__(f"{message}\nThe whole log: {log}")
        self.log = log


class LoadStalled(StartError):
    """Models hang while they load."""


def in_words(error: Exception) -> str:
    """What a failed system call or a broken file says, with the file it is about, for the middle of a sentence."""
    if isinstance(error, shutil.Error):  # of a tree: a list of (from, to, message)
        return str(error.args[0][0][2])
    if isinstance(error, OSError) and error.strerror:
        file = error.filename2 or error.filename  # of a copy, the new one
        return f"{error.strerror}: {file}" if file else error.strerror
    return str(error) or type(error).__name__
