"""For how long the jobs of each API key have run on a day.

What is counted is the time from a run's first step, or first phase, to its end, whatever that was; jobs that share
calls of a model are each counted whole. A run that is killed with its process is not counted.
"""

import math

from sqlalchemy import Engine, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from frontend.errors import QuotaExceeded
from frontend.jobs.schema import USAGE

_DAY_SECONDS = 24 * 3600
_KEPT_DAYS = 32


class Usage:
    """The table of it. Calls block."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(self, owner: str, now: float, seconds: float) -> None:
        """Jobs of `owner` have run for so many more seconds, on the day of the unix time `now`."""
        day = day_of(now)
        more = update(USAGE).where(USAGE.c.owner == owner, USAGE.c.day == day)
        more = more.values(seconds=USAGE.c.seconds + seconds)
        with self._engine.begin() as connection:
            if connection.execute(more).rowcount:
                return
        try:
            with self._engine.begin() as connection:
                connection.execute(insert(USAGE).values(owner=owner, day=day, seconds=seconds))
                connection.execute(delete(USAGE).where(USAGE.c.day < day - _KEPT_DAYS))
        except IntegrityError:  # another process was faster
            with self._engine.begin() as connection:
                connection.execute(more)

    def seconds(self, owner: str, now: float) -> float:
        """For which jobs of `owner` have run on the day of `now`."""
        wanted = select(USAGE.c.seconds).where(USAGE.c.owner == owner, USAGE.c.day == day_of(now))
        with self._engine.connect() as connection:
            return connection.execute(wanted).scalar() or 0.0


def check_quota(owner: str, seconds: float, seconds_per_day: int, now: float) -> None:
    """Raises QuotaExceeded where `owner` has used up what it may on the day of `now`."""
    if seconds >= seconds_per_day:
        left = seconds_left(now)
        raise QuotaExceeded(
            f"The jobs of the key {owner} have run for {seconds:.0f} s today, and may for {seconds_per_day} s per day "
            f"(UTC); the next one in {left} s",
            retry_after=left,
        )


def day_of(now: float) -> int:
    """The day of a unix time, since 1970-01-01, UTC."""
    return int(now // _DAY_SECONDS)


def seconds_left(now: float) -> int:
    """Until the next day begins."""
    return math.ceil((day_of(now) + 1) * _DAY_SECONDS - now)
