"""Asks one process again and again whether it answers, without making anybody wait."""

from collections.abc import Callable
from threading import Event, Thread

_INTERVAL_SECONDS = 1.0


class Prober:
    """Counts the answers to `ask`, which may take its time; from `start` to `stop`."""

    def __init__(self, ask: Callable[[], bool]) -> None:
        self._ask = ask
        self._end = Event()
        self._thread = Thread(target=self._run, name="prober", daemon=True)
        self.answers = 0

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Does not wait for the last answer."""
        self._end.set()

    def _run(self) -> None:
        while not self._end.wait(_INTERVAL_SECONDS):
            self.answers += self._ask()
