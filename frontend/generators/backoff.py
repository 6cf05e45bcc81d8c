"""When to try again what has failed."""

import random
from collections.abc import Callable

FIRST_SECONDS = 0.5
MAX_SECONDS = 15.0


class Backoff:
    """Each pause is twice as long as the last one, up to `MAX_SECONDS`, less a random part of up to a half: those who
    have lost the same server do not all come back to it in one moment. Times are those of one monotonic clock, in
    seconds.

    Args:
        chance: a random number from 0 to 1.
    """

    def __init__(self, chance: Callable[[], float] = random.random) -> None:
        self._chance = chance
        self._pause = FIRST_SECONDS
        self._until = float("-inf")

    def fail(self, now: float) -> None:
        """It has failed; what fails during a pause belongs to the outage that the pause is for."""
        if self.seconds_left(now):
            return
        self._until = now + self._pause * (1 - self._chance() / 2)
        self._pause = min(2 * self._pause, MAX_SECONDS)

    def succeed(self) -> None:
        """It works."""
        self._pause = FIRST_SECONDS
        self._until = float("-inf")

    def seconds_left(self, now: float) -> float:
        """Of the pause; 0 where there is none."""
        return max(0.0, self._until - now)
