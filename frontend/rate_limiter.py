"""How many requests each API key has sent within a minute."""

import math
import time
from collections import defaultdict, deque
from collections.abc import Callable

from frontend.errors import RateLimited

_WINDOW_SECONDS = 60.0


class RateLimiter:
    """Counts in this process, and forgets with it.

    Args:
        clock: seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._taken: defaultdict[str, deque[float]] = defaultdict(deque)

    def take(self, owner: str, per_minute: int) -> None:
        """Count a request. One that is refused does not count.

        Raises:
            RateLimited: the owner has sent as many in the last 60 s.
        """
        now = self._clock()
        taken = self._taken[owner]
        while taken and taken[0] <= now - _WINDOW_SECONDS:
            taken.popleft()
        if len(taken) >= per_minute:
            seconds = math.ceil(taken[-per_minute] + _WINDOW_SECONDS - now)
            raise RateLimited(
                f"The key {owner} may create {per_minute} jobs per minute; the next one in {seconds} s",
                retry_after=seconds,
            )
        taken.append(now)
