"""Ctrl-C and SIGTERM, noticed at well-defined places: wherever the launcher waits."""

import signal
import time
from types import FrameType

_SLICE = 0.1  # seconds; a sleeping launcher reacts this fast


class StopRequested(Exception):
    """Raised by `StopSignal.sleep` once the launcher was asked to stop."""


class StopSignal:
    """Remembers that somebody asked for the end. `sleep` is the only place where it interrupts."""

    def __init__(self) -> None:
        self._received: signal.Signals | None = None

    def install(self) -> None:
        """Listen to SIGINT, SIGTERM and SIGHUP. Main thread only."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._remember)

    def sleep(self, seconds: float) -> None:
        """Raises StopRequested if a signal came before or during the sleep."""
        end = time.monotonic() + seconds
        while self._received is None and (left := end - time.monotonic()) > 0:
            time.sleep(min(left, _SLICE))
        if self._received is not None:
            raise StopRequested(self._received.name)

    def _remember(self, number: int, _frame: FrameType | None) -> None:
        self._received = signal.Signals(number)
