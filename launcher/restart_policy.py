"""How soon something that died is brought back, and from when on it keeps dying."""

from dataclasses import dataclass

_FIRST_DELAY = 0.5  # seconds; for the second death, then doubled
_LONGEST_DELAY = 60.0


@dataclass(frozen=True)
class Restart:
    """What is to be done about one death."""

    delay: float
    """seconds to wait before"""
    deaths: int
    """in a row, this one included"""
    keeps_dying: bool
    """more often than is forgiven"""


@dataclass
class _Row:
    deaths: int
    last: float


class RestartPolicy:
    """Answers the first death of a name at once and the next ones ever later, but never gives up.

    Args:
        limit: deaths in a row that are forgiven.
        window: seconds; what dies sooner after its last death dies in a row.
    """

    def __init__(self, limit: int, window: float) -> None:
        self._limit = limit
        self._window = window
        self._rows: dict[str, _Row] = {}

    def died(self, name: str, now: float) -> Restart:
        row = self._rows.get(name)
        deaths = row.deaths + 1 if row is not None and now - row.last <= self._window else 1
        self._rows[name] = _Row(deaths, now)
        delay = 0.0 if deaths == 1 else min(_LONGEST_DELAY, _FIRST_DELAY * 2.0 ** min(deaths - 2, 10))
        return Restart(delay, deaths, deaths > self._limit)
