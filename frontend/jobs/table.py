"""The table of jobs, on SQLite or PostgreSQL.

Calls block and may come from several threads. A row that a later run has taken (`fence`), or that has ended, does not
change any more, whoever writes; so a process that was thought dead does no harm when it comes back.
"""

import json
import secrets
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    URL,
    ColumnElement,
    Connection,
    Row,
    and_,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from frontend.jobs.drained_servers import DrainedServers
from frontend.jobs.limits import NO_LIMITS, JobLimits, next_turn, turns_of
from frontend.jobs.listing import JobQuery, Page, describe_earlier, find_rows, searchable
from frontend.jobs.schema import EXECUTORS, JOBS, SECRETS, is_shared, make_tables, open_engine, open_relaxed
from frontend.jobs.spec import JobSpec
from frontend.jobs.spending import Spending
from frontend.jobs.state import Job, JobError, JobState, Output
from frontend.jobs.usage import Usage

_NOT_ENDED = JOBS.c.status.in_(("queued", "in_progress"))
_WAITS = and_(_NOT_ENDED, JOBS.c.attempts == 0)
_CREATING = 7_301_527
"""PostgreSQL's advisory lock of whoever counts jobs to make another"""


@dataclass(frozen=True)
class Claim:
    """A job that this process may run now."""

    job: Job
    attempts: int
    """runs of it until now, with this one"""


@dataclass(frozen=True)
class Counts:
    """Of jobs that have not ended."""

    waiting: int
    """those that no process has begun; one that was parked waits again"""
    of_owner: int
    """those of one owner, running or not"""


class JobTable:
    """Rows of jobs at `url`, to be opened first; in memory if None, for one thread at a time."""

    def __init__(self, url: URL | None) -> None:
        self._engine = open_engine(url)
        self._relaxed = open_relaxed(self._engine)
        self._creating = threading.Lock()
        """SQLite has one process, so this makes counting and creating one thing"""
        self.usage = Usage(self._engine)
        self.spending = Spending(self._engine)
        self.drained_servers = DrainedServers(self._engine)
        if url is None:
            self.open()

    def open(self) -> None:
        """See `make_tables`."""
        make_tables(self._engine)
        with self._engine.begin() as connection:
            describe_earlier(connection)

    def close(self) -> None:
        self._engine.dispose()
        self._relaxed.dispose()

    # One job

    def create(self, job: Job, limits: JobLimits = NO_LIMITS) -> Job:
        """Keep a new job, but for the image that it starts from.

        With the fence 1 its creator has claimed it already, which is undone where others come before it.

        Returns:
            The job as it is kept, with its turn.

        Raises:
            IntegrityError: another job has its `idempotency`.
            TooManyJobs, QueueFull: see `JobLimits.check`. No number is exceeded, whoever else creates jobs.
            InvalidRequest, QuotaExceeded: see `Spending.take`.
        """
        with self._creating, self._engine.begin() as connection:
            if self._is_shared:
                connection.execute(select(func.pg_advisory_xact_lock(_CREATING)))
            job = self._in_turn(connection, job, limits)
            if limits.counts:
                counts = _counts(connection, job.owner)
                limits.check(counts.waiting, counts.of_owner, job.owner, begins=job.fence > 0)
            self.spending.take(connection, job.spec, job.owner, limits.budget)
            self._insert(connection, job)
        return job

    def _in_turn(self, connection: Connection, job: Job, limits: JobLimits) -> Job:
        turns = turns_of(limits.priority)
        waiting = and_(_WAITS, _is_hosted(job.spec.is_hosted))
        theirs = and_(waiting, JOBS.c.turn.between(turns.start, turns.stop - 1))
        up = connection.execute(select(func.min(JOBS.c.turn)).where(theirs)).scalar_one()
        last = connection.execute(select(func.max(JOBS.c.turn)).where(theirs, _is_of(job.owner))).scalar_one()
        turn = next_turn(turns, up, last)
        if job.fence:
            before = connection.execute(select(JOBS.c.id).where(waiting, _turn() <= turn).limit(1)).one_or_none()
            return job.model_copy(update={"turn": turn, "fence": 0 if before else job.fence})
        return job.model_copy(update={"turn": turn})

    def _insert(self, connection: Connection, job: Job) -> None:
        row = {
            "id": job.spec.id,
            "created_us": round(job.spec.created_at * 1e6),
            "owner": job.owner,
            "request_hash": job.request_hash,
            "idempotency": job.idempotency,
            "hosted": job.spec.is_hosted,
            "kind": job.spec.product.kind,
            "model": job.spec.model,
            "prompt": searchable(job.spec.prompt),
            "spec": job.spec.model_copy(update={"image": None}).model_dump_json(),
            "has_image": job.spec.image is not None,
            "fence": job.fence,
            "attempts": job.fence,
            "turn": job.turn,
            **_state_columns(job),
        }
        connection.execute(insert(JOBS).values(row))

    def claim(self, job_id: str) -> Claim | None:
        """Begin a run of a job, the only one whose word counts from now on. None where the job has ended or is gone."""
        statement = (
            update(JOBS)
            .where(JOBS.c.id == job_id, _NOT_ENDED)
            .values(fence=JOBS.c.fence + 1, attempts=JOBS.c.attempts + 1)
            .returning(JOBS)
        )
        with self._engine.begin() as connection:
            row = connection.execute(statement).one_or_none()
        return None if row is None else Claim(_job(row), row.attempts)

    def release(self, job: Job) -> None:
        """End a run before its job's end, which is no fault of the job."""
        with self._engine.begin() as connection:
            _change(connection, job, {"attempts": JOBS.c.attempts - 1})

    def update(self, jobs: Iterable[Job]) -> None:
        """Keep how far jobs are, of those that may still change."""
        with self._relaxed.begin() as connection:
            for job in jobs:
                _change(connection, job, _state_columns(job))

    def submit(self, job: Job, submissions: Mapping[int, str]) -> bool:
        """Keep what hosted providers were sent for a job. False where its run has nothing to say any more."""
        with self._engine.begin() as connection:
            return _change(connection, job, {"submissions": json.dumps(dict(submissions))})

    def finish(self, job: Job) -> bool:
        """Keep the end of a job. False where its run has nothing to say any more.

        A power cut at that moment may undo it: the job runs again then.
        """
        with self._relaxed.begin() as connection:
            kept = _change(connection, job, _state_columns(job))
            if kept and job.state.status != "completed":
                self._give_back(connection, job.spec.id)
        return kept

    def end(self, job_id: str, state: JobState) -> bool:
        """End a job, whichever process runs it. False where it has ended before, or is gone."""
        values = {
            "status": state.status,
            "finished_at": state.finished_at,
            "expires_at": state.expires_at,
            "error": state.error and state.error.model_dump_json(),
            "fence": JOBS.c.fence + 1,
        }
        with self._engine.begin() as connection:
            done = connection.execute(update(JOBS).where(JOBS.c.id == job_id, _NOT_ENDED).values(values))
            if done.rowcount:
                self._give_back(connection, job_id)
            return done.rowcount > 0

    def get(self, job_id: str) -> Job | None:
        with self._engine.connect() as connection:
            row = connection.execute(select(JOBS).where(JOBS.c.id == job_id)).one_or_none()
        return None if row is None else _job(row)

    # Creates that come again

    def repeated(self, idempotency: str) -> Job | None:
        """The job whose create was sent with that key. A create has found it: `repeats` counts that."""
        return self._repeated(JOBS.c.idempotency == idempotency)

    def retried(self, request_hash: str, created_after: float) -> Job | None:
        """The last job of an equal request that came after that unix time, unless it came to nothing; as `repeated`."""
        latest = (
            select(JOBS.c.id)
            .where(
                JOBS.c.request_hash == request_hash,
                JOBS.c.created_us > created_after * 1e6,
                JOBS.c.status.not_in(("failed", "cancelled")),
            )
            .order_by(JOBS.c.created_us.desc(), JOBS.c.id.desc())
            .limit(1)
        )
        return self._repeated(JOBS.c.id == latest.scalar_subquery())

    def repeats(self, job_id: str) -> int:
        """How many creates have found a job."""
        with self._engine.connect() as connection:
            return connection.execute(select(JOBS.c.repeats).where(JOBS.c.id == job_id)).scalar() or 0

    def free(self, job_id: str) -> None:
        """Let the next create with the key of a job make a new one."""
        with self._engine.begin() as connection:
            connection.execute(update(JOBS).where(JOBS.c.id == job_id).values(idempotency=None))

    def _repeated(self, wanted: ColumnElement[bool]) -> Job | None:
        more = func.coalesce(JOBS.c.repeats, 0) + 1
        with self._engine.begin() as connection:
            row = connection.execute(update(JOBS).where(wanted).values(repeats=more).returning(JOBS)).one_or_none()
        return None if row is None else _job(row)

    # Secrets

    def secret(self, name: str) -> bytes:
        """256 random bits, the same for all processes that ever share the table."""
        wanted = select(SECRETS.c.value).where(SECRETS.c.name == name)
        try:
            with self._engine.begin() as connection:
                value = connection.execute(wanted).scalar()
                if value is None:
                    value = secrets.token_hex(32)
                    connection.execute(insert(SECRETS).values(name=name, value=value))
        except IntegrityError:  # another process was faster
            with self._engine.connect() as connection:
                value = connection.execute(wanted).scalar_one()
        return bytes.fromhex(value)

    # Many

    def page(self, query: JobQuery, now: float) -> Page | None:
        """See `find_rows`."""
        with self._engine.connect() as connection:
            rows = find_rows(connection, query, now)
        if rows is None:
            return None
        return Page(tuple(_job(row) for row in rows[: query.limit]), len(rows) > query.limit)

    def counts(self, owner: str | None) -> Counts:
        """Of the jobs that have not ended now."""
        with self._engine.connect() as connection:
            return _counts(connection, owner)

    def queued_before(self, job: Job) -> int:
        """How many jobs that wait for the same places come before this one."""
        created = round(job.spec.created_at * 1e6)
        older = or_(JOBS.c.created_us < created, and_(JOBS.c.created_us == created, JOBS.c.id < job.spec.id))
        earlier = or_(_turn() < job.turn, and_(_turn() == job.turn, older))
        statement = select(func.count()).where(JOBS.c.status == "queued", _is_hosted(job.spec.is_hosted), earlier)
        with self._engine.connect() as connection:
            return connection.execute(statement).scalar_one()

    def lost(self, jobs: Iterable[Job]) -> set[str]:
        """Ids of those `jobs` whose runs have nothing to say any more."""
        fences = {job.spec.id: job.fence for job in jobs}
        if not fences:
            return set()
        with self._engine.connect() as connection:
            rows = connection.execute(select(JOBS.c.id, JOBS.c.fence).where(JOBS.c.id.in_(fences), _NOT_ENDED)).all()
        live = {row.id for row in rows if row.fence == fences[row.id]}
        return set(fences) - live

    def unfinished(self, created_before: float) -> tuple[str, ...]:
        """Ids of the jobs from before that unix time that have not ended."""
        statement = select(JOBS.c.id).where(_NOT_ENDED, JOBS.c.created_us < created_before * 1e6)
        with self._engine.connect() as connection:
            return tuple(connection.execute(statement).scalars())

    def expired(self, now: float, limit: int) -> tuple[str, ...]:
        """Ids of jobs that have expired."""
        statement = select(JOBS.c.id).where(JOBS.c.expires_at <= now).limit(limit)
        with self._engine.connect() as connection:
            return tuple(connection.execute(statement).scalars())

    def unknown(self, job_ids: Iterable[str]) -> set[str]:
        """Those ids that no job has."""
        asked = set(job_ids)
        with self._engine.connect() as connection:
            return asked - set(connection.execute(select(JOBS.c.id).where(JOBS.c.id.in_(asked))).scalars())

    def remove(self, job_ids: Iterable[str]) -> None:
        with self._engine.begin() as connection:
            connection.execute(delete(JOBS).where(JOBS.c.id.in_(list(job_ids))))

    # Processes that run jobs

    def beat(self, executor: str) -> None:
        """Say that `executor` lives."""
        with self._engine.begin() as connection:
            now = self._now()
            done = connection.execute(update(EXECUTORS).where(EXECUTORS.c.id == executor).values(beat_at=now))
            if not done.rowcount:
                connection.execute(insert(EXECUTORS).values(id=executor, beat_at=now))

    def dead(self, executors: Iterable[str], lease_seconds: float) -> set[str]:
        """Those that have not said for so long that they live, or never did."""
        asked = set(executors)
        statement = select(EXECUTORS.c.id).where(
            EXECUTORS.c.id.in_(asked), EXECUTORS.c.beat_at > self._now() - lease_seconds
        )
        with self._engine.connect() as connection:
            return asked - set(connection.execute(statement).scalars())

    def leave(self, executor: str) -> None:
        """Say that `executor` is no more, and forget those that are long dead."""
        with self._engine.begin() as connection:
            connection.execute(
                delete(EXECUTORS).where(or_(EXECUTORS.c.id == executor, EXECUTORS.c.beat_at < self._now() - 24 * 3600))
            )

    def _now(self) -> Any:
        """By one clock, where several machines share the database."""
        if self._is_shared:
            return func.extract("epoch", func.clock_timestamp())
        return time.time()

    @property
    def _is_shared(self) -> bool:
        return is_shared(self._engine)

    def _give_back(self, connection: Connection, job_id: str) -> None:
        """What was not sent of a job that has ended without a result."""
        job = _job(connection.execute(select(JOBS).where(JOBS.c.id == job_id)).one())
        self.spending.give_back(connection, job.spec, job.owner, job.submissions.keys())


def _change(connection: Connection, job: Job, values: dict[str, Any]) -> bool:
    """Of a run of a job. False where it has nothing to say any more."""
    return connection.execute(update(JOBS).where(_is_run_of(job)).values(values)).rowcount > 0


def _is_run_of(job: Job) -> ColumnElement[bool]:
    return and_(JOBS.c.id == job.spec.id, JOBS.c.fence == job.fence, _NOT_ENDED)


def _turn() -> ColumnElement[int]:
    """Jobs of an earlier release have none, and come first."""
    return func.coalesce(JOBS.c.turn, 0)


def _is_hosted(hosted: bool) -> ColumnElement[bool]:
    """Jobs of an earlier release do not tell, and count as made here."""
    return func.coalesce(JOBS.c.hosted, False) == hosted


def _is_of(owner: str | None) -> ColumnElement[bool]:
    return JOBS.c.owner.is_(None) if owner is None else JOBS.c.owner == owner


def _counts(connection: Connection, owner: str | None) -> Counts:
    waiting = select(func.count()).where(_WAITS)
    of_owner = select(func.count()).where(_NOT_ENDED, _is_of(owner))
    return Counts(connection.execute(waiting).scalar_one(), connection.execute(of_owner).scalar_one())


def _state_columns(job: Job) -> dict[str, Any]:
    state = job.state
    return {
        "status": state.status,
        "progress": state.progress,
        "started_at": state.started_at,
        "finished_at": state.finished_at,
        "expires_at": state.expires_at,
        "error": state.error and state.error.model_dump_json(),
        "outputs": json.dumps([output.model_dump(mode="json") for output in job.outputs]),
    }


def _job(row: Row[Any]) -> Job:
    return Job(
        spec=JobSpec.model_validate_json(row.spec),
        state=JobState(
            status=row.status,
            progress=row.progress,
            started_at=row.started_at,
            finished_at=row.finished_at,
            expires_at=row.expires_at,
            error=row.error and JobError.model_validate_json(row.error),
        ),
        outputs=tuple(Output.model_validate(output) for output in json.loads(row.outputs)),
        owner=row.owner,
        request_hash=row.request_hash,
        idempotency=row.idempotency,
        repeats=row.repeats or 0,
        has_image=row.has_image,
        turn=row.turn or 0,
        fence=row.fence,
        submissions={int(part): text for part, text in json.loads(row.submissions or "{}").items()},
    )
