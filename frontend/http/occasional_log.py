"""Log lines about what others can make happen as often as they like."""

import time

import structlog

_SECONDS = 10.0

_log = structlog.get_logger(__name__)


class OccasionalLog:
    """Logs an event when it happens, but once in ten seconds at most; the next line says how often it happened."""

    def __init__(self, event: str) -> None:
        self._event = event
        self._times = 0
        self._silent_until = float("-inf")

    def warning(self, **details: object) -> None:
        self._times += 1
        now = time.monotonic()
        if now >= self._silent_until:
            _log.warning(self._event, times=self._times, **details)
            self._times, self._silent_until = 0, now + _SECONDS
