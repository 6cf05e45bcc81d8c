"""Lists of jobs: which of them, and in pieces of what size."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, Row, and_, or_, select, update

from frontend.jobs.schema import JOBS
from frontend.jobs.spec import JobSpec
from frontend.jobs.state import Job, JobStatus

Kind = Literal["video", "image"]
Order = Literal["asc", "desc"]


@dataclass(frozen=True)
class JobQuery:
    """Which jobs are asked for. What is None does not matter."""

    owner: str | None
    """of this API key alone"""
    kind: Kind | None = None
    """that make such a thing"""
    status: JobStatus | None = None
    """as their rows say, which may be a second behind"""
    model: str | None = None
    """id of the model that makes it"""
    search: str | None = None
    """a part of the prompt, whatever the case of its letters"""
    after: str | None = None
    """id of the job after which the page begins"""
    limit: int = 20
    order: Order = "desc"
    """of their creation, also among those of one instant; `desc`: the newest first"""


@dataclass(frozen=True)
class Page:
    """A part of a list of jobs."""

    jobs: tuple[Job, ...]
    has_more: bool


def find_rows(connection: Connection, query: JobQuery, now: float) -> Sequence[Row[Any]] | None:
    """Rows of jobs, one more than the page takes where there are more.

    Args:
        now: unix time; what has expired by then is left out.

    Returns:
        None where `query.after` is no job of that owner and kind.
    """
    theirs: list[ColumnElement[bool]] = []
    if query.owner is not None:
        theirs.append(JOBS.c.owner == query.owner)
    if query.kind is not None:
        theirs.append(JOBS.c.kind == query.kind)
    wanted = [*theirs, or_(JOBS.c.expires_at.is_(None), JOBS.c.expires_at > now)]
    if query.status is not None:
        wanted.append(JOBS.c.status == query.status)
    if query.model is not None:
        wanted.append(JOBS.c.model == storable(query.model))
    if query.search:
        wanted.append(JOBS.c.prompt.contains(searchable(query.search), autoescape=True))
    place = (JOBS.c.created_us, JOBS.c.id)
    if query.after is not None:
        found = connection.execute(select(*place).where(JOBS.c.id == query.after, *theirs)).one_or_none()
        if found is None:
            return None
        wanted.append(_follows(found.created_us, found.id, query.order))
    sorting = place if query.order == "asc" else tuple(column.desc() for column in place)
    return connection.execute(select(JOBS).where(*wanted).order_by(*sorting).limit(query.limit + 1)).all()


def describe_earlier(connection: Connection) -> None:
    """Fill in what jobs are found by where an earlier release has kept them."""
    for row in connection.execute(select(JOBS.c.id, JOBS.c.spec).where(JOBS.c.model.is_(None))).all():
        try:
            spec = JobSpec.model_validate_json(row.spec)
        except ValueError:  # who runs it says so
            continue
        found_by = {"model": spec.model, "prompt": searchable(spec.prompt)}
        connection.execute(update(JOBS).where(JOBS.c.id == row.id).values(found_by))


def searchable(text: str) -> str:
    """A prompt, or a part of one, as they are compared: databases differ in what they take for upper and lower case."""
    return storable(text.casefold())


def storable(text: str) -> str:
    """Without NUL, which PostgreSQL's texts cannot have."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")


def _follows(created_us: int, job_id: str, order: Order) -> ColumnElement[bool]:
    created, own_id = JOBS.c.created_us, JOBS.c.id
    later, same = (created > created_us, own_id > job_id) if order == "asc" else (created < created_us, own_id < job_id)
    return or_(later, and_(created == created_us, same))
