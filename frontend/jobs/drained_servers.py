"""Which Triton servers get no new jobs, as all frontends that share the database know it."""

from sqlalchemy import Engine, delete, insert, select
from sqlalchemy.exc import IntegrityError

from frontend.jobs.schema import DRAINED_SERVERS


class DrainedServers:
    """The table of them. Calls block."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def names(self) -> frozenset[str]:
        with self._engine.connect() as connection:
            return frozenset(connection.execute(select(DRAINED_SERVERS.c.name)).scalars())

    def add(self, name: str) -> None:
        """Without effect on one that is there."""
        try:
            with self._engine.begin() as connection:
                connection.execute(insert(DRAINED_SERVERS).values(name=name))
        except IntegrityError:
            pass

    def remove(self, name: str) -> None:
        """Without effect where it is not there."""
        with self._engine.begin() as connection:
            connection.execute(delete(DRAINED_SERVERS).where(DRAINED_SERVERS.c.name == name))
