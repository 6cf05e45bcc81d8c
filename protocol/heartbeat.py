"""The sign of life of a model's process: a file that it touches every second, for the launcher to see.

Triton knows only whether the process exists. A computation that takes minutes is no silence: the libraries that compute
let Python run meanwhile.
"""

import os
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread

HEARTBEAT_VARIABLE = "TRITONREEL_HEARTBEAT"
"""set by the launcher: the path of a process's file, but for its pid at the end"""
HEARTBEAT_SECONDS = 1.0


class Heartbeat:
    """Beats from `start` to `stop`, from a thread or, once that is known, from the event loop that does the work."""

    def __init__(self) -> None:
        prefix = os.environ.get(HEARTBEAT_VARIABLE)
        self._file = Path(f"{prefix}{os.getpid()}") if prefix else None
        self._stopped = Event()
        self._thread = Thread(target=self._beat, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Beat as long as this process's Python runs. Does nothing where no launcher has set the variable."""
        if self._file is not None:
            self._file.touch(mode=0o600)
            self._thread.start()

    async def take_over(self) -> None:
        """Beat as long as this event loop runs, until cancelled; the thread leaves it to this from now on."""
        if self._file is None:
            return
        import asyncio  # which models without an event loop load faster without

        self._stopped.set()
        with suppress(FileNotFoundError):  # nobody looks any more
            while True:
                os.utime(self._file)
                await asyncio.sleep(HEARTBEAT_SECONDS)

    def stop(self) -> None:
        """The process is about to end in order."""
        self._stopped.set()
        if self._file is not None:
            self._file.unlink(missing_ok=True)

    def _beat(self) -> None:
        assert self._file is not None
        with suppress(FileNotFoundError):  # nobody looks any more
            while not self._stopped.wait(HEARTBEAT_SECONDS):
                os.utime(self._file)
