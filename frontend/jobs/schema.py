"""The tables of jobs in the database, and how it is opened."""

from functools import partial
from typing import Any

from sqlalchemy import (
    URL,
    BigInteger,
    Boolean,
    Column,
    Double,
    Engine,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    create_engine,
    event,
    func,
    inspect,
    select,
    text,
)
from sqlalchemy.pool import StaticPool

_METADATA = MetaData()
JOBS = Table(
    "tritonreel_jobs",
    _METADATA,
    Column("id", String(64), primary_key=True),
    Column("created_us", BigInteger, nullable=False),  # unix time in microseconds; with `id` the order of the list
    Column("owner", Text),
    Column("request_hash", String(64)),
    Column("idempotency", String(64)),  # of the key that its create was sent with, see `RequestIdentity`
    Column("repeats", Integer),  # creates that found it in place of a new job
    Column("kind", String(16), nullable=False),  # of what it makes
    Column("spec", Text, nullable=False),  # JSON, without its image
    Column("has_image", Boolean, nullable=False),  # whether it starts from one, which is a file
    Column("status", String(16), nullable=False),
    Column("progress", Integer, nullable=False),  # per cent
    Column("started_at", Double),
    Column("finished_at", Double),
    Column("expires_at", Double),
    Column("error", Text),  # JSON
    Column("outputs", Text, nullable=False),  # JSON
    Column("turn", BigInteger),  # among those that wait, see `limits`
    Column("fence", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False),  # runs that began, less those that were parked
    Column("submissions", Text),  # JSON, see `Job`
    Column("hosted", Boolean),  # whether a hosted provider makes it: the others wait for other places
    Column("model", Text),
    Column("prompt", Text),  # as it is searched, see `listing`
    Index("tritonreel_jobs_created", "created_us", "id"),
    Index("tritonreel_jobs_owner", "owner", "created_us", "id"),
    Index("tritonreel_jobs_status", "status", "created_us"),
    Index("tritonreel_jobs_model", "model", "created_us", "id"),
    Index("tritonreel_jobs_expiry", "expires_at"),
    Index("tritonreel_jobs_idempotency", "idempotency", unique=True),
    Index("tritonreel_jobs_request", "request_hash", "created_us"),
)
EXECUTORS = Table(
    "tritonreel_executors",
    _METADATA,
    Column("id", String(64), primary_key=True),
    Column("beat_at", Double, nullable=False),  # unix time, by the database's clock where it has one
)
USAGE = Table(
    "tritonreel_usage",
    _METADATA,
    Column("owner", Text, primary_key=True),
    Column("day", Integer, primary_key=True),  # since 1970-01-01, UTC
    Column("seconds", Double, nullable=False),  # for which jobs ran
)
SPENDING = Table(
    "tritonreel_spending",
    _METADATA,
    Column("owner", Text, primary_key=True),  # empty for requests without a key
    Column("day", Integer, primary_key=True),  # since 1970-01-01, UTC
    Column("provider", String(32), primary_key=True),
    Column("model", String(64), primary_key=True),
    Column("videos", Integer, nullable=False),
    Column("dollars", Double, nullable=False),
)
SECRETS = Table(
    "tritonreel_secrets",
    _METADATA,
    Column("name", String(64), primary_key=True),
    Column("value", String(64), nullable=False),  # 256 random bits, hexadecimal
)
DRAINED_SERVERS = Table(
    "tritonreel_drained_servers",
    _METADATA,
    Column("name", Text, primary_key=True),  # as the frontends' settings say it
)
_MAKING = 7_301_526
"""PostgreSQL's advisory lock of whoever makes the tables"""
_BUSY_SECONDS = 30
"""that a connection to SQLite waits for another one's transaction"""


def open_engine(url: URL | None) -> Engine:
    """The database at `url`; one in memory, for one thread at a time, if None."""
    if url is None:
        return create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
    if url.get_backend_name() != "sqlite":
        return create_engine(url, pool_pre_ping=True, pool_size=4, max_overflow=4)
    engine = create_engine(url, connect_args={"timeout": _BUSY_SECONDS})
    event.listen(engine, "connect", partial(_set_up_sqlite, "FULL"))
    return engine


def open_relaxed(engine: Engine) -> Engine:
    """The same database for what a power cut may undo, though no process's end: it does not wait for the disk.

    SQLite's alone, whose frontend loses its power too. One that goes on while PostgreSQL's machine comes back would not
    learn that the end of a job was undone.
    """
    if engine.dialect.name != "sqlite" or isinstance(engine.pool, StaticPool):
        return engine
    relaxed = create_engine(engine.url, connect_args={"timeout": _BUSY_SECONDS})
    event.listen(relaxed, "connect", partial(_set_up_sqlite, "NORMAL"))
    return relaxed


def make_tables(engine: Engine) -> None:
    """Make what is missing, also of tables that an earlier release made; columns that come later have to be nullable.

    Raises:
        SQLAlchemyError: the database cannot be used.
    """
    with engine.begin() as connection:
        if is_shared(engine):  # by frontends that start at the same time
            connection.execute(select(func.pg_advisory_xact_lock(_MAKING)))
        _METADATA.create_all(connection)
        there = {column["name"] for column in inspect(connection).get_columns(JOBS.name)}
        for column in JOBS.columns:
            if column.name not in there:
                kind = column.type.compile(connection.dialect)
                connection.execute(text(f"ALTER TABLE {JOBS.name} ADD COLUMN {column.name} {kind}"))
        for index in JOBS.indexes:
            index.create(connection, checkfirst=True)


def is_shared(engine: Engine) -> bool:
    """Whether several processes use the database."""
    return engine.dialect.name == "postgresql"


def _set_up_sqlite(synchronous: str, connection: Any, _: Any) -> None:
    """Readers do not wait for writers. With FULL, what is committed survives a power cut."""
    for pragma in ("journal_mode=WAL", f"synchronous={synchronous}"):
        connection.execute(f"PRAGMA {pragma}")
