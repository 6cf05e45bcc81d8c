"""How often, and how soon, something that died is brought back."""

from collections import defaultdict, deque

from launcher.errors import KeepsDyingError

_FIRST_DELAY = 0.5  # seconds; for the second death, then doubled
_LONGEST_DELAY = 30.0


class RestartPolicy:
    """Forgives `limit` deaths of one name within `window` seconds; the first is answered at once, the rest later."""

    def __init__(self, limit: int, window: float) -> None:
        self._limit = limit
        self._window = window
        self._deaths: dict[str, deque[float]] = defaultdict(deque)

    def delay(self, name: str, now: float) -> float:
        """Seconds to wait before `name`, which died at `now`, is brought back.

        Raises KeepsDyingError beyond the limit.
        """
        deaths = self._deaths[name]
        deaths.append(now)
        while deaths[0] < now - self._window:
            deaths.popleft()
        if len(deaths) > self._limit:
            raise KeepsDyingError(f"{name} died {len(deaths)} times within {self._window:.0f} s.")
        return 0.0 if len(deaths) == 1 else min(_LONGEST_DELAY, _FIRST_DELAY * 2 ** (len(deaths) - 2))
