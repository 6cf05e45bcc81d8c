"""What the launcher tells a person before it exits.

LauncherError
├── SetupError      found before anything was started: a port taken, a library missing, nothing exported
└── StartError      a process or a model did not come up
"""

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
