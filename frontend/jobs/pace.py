"""How long a job will take yet."""


class Pace:
    """Extrapolates from what was done since it was first asked about work that had begun."""

    def __init__(self) -> None:
        self._begun: tuple[float, float] | None = None
        """fraction and time at which it was first asked"""

    def seconds_left(self, fraction: float, now: float) -> float | None:
        """Until all is done; None where that cannot be told yet.

        Args:
            fraction: of the work that is done, 0 to 1.
            now: seconds of a monotonic clock.
        """
        if fraction <= 0:
            return None
        if self._begun is None:
            self._begun = fraction, now
        done, passed = fraction - self._begun[0], now - self._begun[1]
        return None if done <= 0 else (1 - fraction) * passed / done
