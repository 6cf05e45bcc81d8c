"""How long something has lasted, for a watcher that may itself have stood still."""

import time
from collections.abc import Collection, Hashable


class OwnTime:
    """A clock that counts a round for at most `longest_round` seconds.

    Where the whole machine stalls for a while, everything is silent, the watcher too: that time says nothing.
    """

    def __init__(self, longest_round: float) -> None:
        self._longest_round = longest_round
        self._last = time.monotonic()
        self.now = 0.0

    def tick(self) -> None:
        """Begin a round."""
        last, self._last = self._last, time.monotonic()
        self.now += min(self._last - last, self._longest_round)


class Durations:
    """How long each key has had its value, on a clock of its own."""

    def __init__(self, clock: OwnTime) -> None:
        self._clock = clock
        self._since: dict[Hashable, tuple[Hashable, float]] = {}

    def of(self, key: Hashable, value: Hashable) -> float:
        """Seconds since `key` had another value; 0 the first time."""
        if key not in self._since or self._since[key][0] != value:
            self._since[key] = (value, self._clock.now)
        return self._clock.now - self._since[key][1]

    def keep(self, keys: Collection[Hashable]) -> None:
        """Forget all others."""
        self._since = {key: mark for key, mark in self._since.items() if key in keys}
