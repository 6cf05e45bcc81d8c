"""What the videos of hosted providers cost, by API key and day, and how much that may be.

A job's price is counted when it is created, so that no number of jobs at the same time exceeds a limit; what was not
sent to a provider is given back when the job ends.
"""

from collections.abc import Set
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, delete, func, insert, select, update

from frontend.errors import QuotaExceeded
from frontend.jobs.hosted_spec import HostedSpec
from frontend.jobs.limits import Budget
from frontend.jobs.schema import SPENDING
from frontend.jobs.spec import JobSpec
from frontend.jobs.usage import day_of, seconds_left
from protocol.errors import InvalidRequest

_KEPT_DAYS = 366
_NOTHING = 1e-9
"""dollars; sums of floats are not exact"""


@dataclass(frozen=True)
class Spent:
    """What one key has spent on one model on one day."""

    day: int
    """since 1970-01-01, UTC"""
    owner: str | None
    """name of the API key; None for requests without one"""
    provider: str
    model: str
    videos: int
    dollars: float


class Spending:
    """The table of it. Calls block."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def take(self, connection: Connection, spec: JobSpec, owner: str | None, budget: Budget) -> None:
        """Count the price of a new job. Call it where no other process does at the same time.

        Raises:
            InvalidRequest: it costs more than a request may.
            QuotaExceeded: with it more would be spent on this day than may be.
        """
        dollars, day = spec.price, day_of(spec.created_at)
        if not spec.is_hosted:
            return
        if budget.per_request is not None and dollars > budget.per_request + _NOTHING:
            raise InvalidRequest(
                f"it would cost ${dollars:.2f}, and a request may cost ${budget.per_request:.2f} here: ask for a "
                "shorter video, fewer of them, or a cheaper model"
            )
        of_all, of_key = SPENDING.c.day == day, SPENDING.c.owner == (owner or "")
        spent = select(func.coalesce(func.sum(SPENDING.c.dollars), 0.0)).where(of_all)
        limits = (
            (budget.per_day, "all keys", spent),
            (budget.per_day_of_key, f"the key {owner}", spent.where(of_key)),
        )
        for limit, whose, statement in limits:
            already = 0.0 if limit is None else connection.execute(statement).scalar_one()
            if limit is not None and already + dollars > limit + _NOTHING:
                raise _exceeded(dollars, already, limit, whose, spec.created_at)
        self._add(connection, spec, owner, len(spec.samples), dollars)
        connection.execute(delete(SPENDING).where(SPENDING.c.day < day - _KEPT_DAYS))

    def give_back(self, connection: Connection, spec: JobSpec, owner: str | None, sent: Set[int]) -> None:
        """Count no more of a job that has ended than its parts that were sent."""
        unsent = [sample for part, sample in enumerate(spec.samples) if part not in sent]
        dollars = sum(sample.price for sample in unsent if isinstance(sample, HostedSpec))
        if spec.is_hosted and unsent:
            self._add(connection, spec, owner, -len(unsent), -dollars)

    def since(self, day: int, owner: str | None = None) -> list[Spent]:
        """From that day on, the latest first; of one key, or of all if None."""
        wanted = select(SPENDING).where(SPENDING.c.day >= day, SPENDING.c.videos > 0)
        if owner is not None:
            wanted = wanted.where(SPENDING.c.owner == owner)
        columns = (SPENDING.c.day.desc(), SPENDING.c.owner, SPENDING.c.provider, SPENDING.c.model)
        with self._engine.connect() as connection:
            rows = connection.execute(wanted.order_by(*columns)).all()
        return [Spent(row.day, row.owner or None, row.provider, row.model, row.videos, row.dollars) for row in rows]

    def _add(self, connection: Connection, spec: JobSpec, owner: str | None, videos: int, dollars: float) -> None:
        sample = spec.samples[0]
        assert isinstance(sample, HostedSpec)
        key = {
            "owner": owner or "",
            "day": day_of(spec.created_at),
            "provider": sample.provider,
            "model": spec.model,
        }
        more = update(SPENDING).where(*(SPENDING.c[name] == value for name, value in key.items()))
        more = more.values(videos=SPENDING.c.videos + videos, dollars=SPENDING.c.dollars + dollars)
        if not connection.execute(more).rowcount:
            connection.execute(insert(SPENDING).values(**key, videos=videos, dollars=dollars))


def _exceeded(dollars: float, already: float, limit: float, whose: str, now: float) -> QuotaExceeded:
    left = seconds_left(now)
    return QuotaExceeded(
        f"It would cost ${dollars:.2f}; {whose} spent ${already:.2f} today, and may spend ${limit:.2f} per day (UTC); "
        f"the next day begins in {left} s",
        retry_after=left,
    )
