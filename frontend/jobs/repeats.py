"""Creates that come again: their client is answered with the job that the first one made."""

import sqlite3
from collections.abc import Awaitable
from typing import TypeVar

import structlog
from sqlalchemy.exc import SQLAlchemyError

from frontend.error_rules import rule_of_code
from frontend.errors import IdempotencyKeyReused, JobsUnavailable, StorageFull
from frontend.jobs.state import Job
from frontend.jobs.store import JobStore

T = TypeVar("T")
_POSTGRESQL_DISK_FULL = "53100"
RETRY_SECONDS = 15 * 60.0
"""an equal request that calls itself a retry means a job that is no older; `openai` waits for 10 minutes by default"""
_log = structlog.get_logger(__name__)


class Repeats:
    """Finds the jobs of `store` that earlier creates have made."""

    def __init__(self, store: JobStore) -> None:
        self._store = store

    async def earlier(self, request_hash: str, idempotency: str | None, *, is_retry: bool) -> Job | None:
        """The job that this create asks for again; None where it asks for a new one.

        Args:
            request_hash: see `Job`.
            idempotency: see `Job`; None where the client sent no key.
            is_retry: whether the client says that it sends the request again.

        Raises:
            IdempotencyKeyReused: the key came with another request.
            JobsUnavailable.
        """
        if idempotency is None:
            return await asked(self._store.retried(request_hash, RETRY_SECONDS)) if is_retry else None
        job = await asked(self._store.repeated(idempotency))
        if job is None:
            return None
        if job.request_hash != request_hash:
            raise IdempotencyKeyReused(
                "was sent before with another request: use a new key for each, and the same only to send one again",
                "Idempotency-Key",
            )
        if not _came_to_nothing(job):
            return job
        await asked(self._store.free(job.spec.id))
        return None

    async def latest(self, job_id: str) -> int | None:
        """How many creates have found a job; None where nobody can tell."""
        try:
            return await self._store.repeats(job_id)
        except SQLAlchemyError:
            return None


def _came_to_nothing(job: Job) -> bool:
    """Whether it ended in a way that its client was told to try again."""
    if job.state.status == "cancelled":
        return True
    return job.state.error is not None and rule_of_code(job.state.error.code).retry


async def asked(answer: Awaitable[T]) -> T:
    """The answer of the store. Raises JobsUnavailable, StorageFull where it has none."""
    try:
        return await answer
    except SQLAlchemyError as error:
        _log.warning("jobs cannot be looked up", reason=str(error))
        raise unavailable(error) from None


def unavailable(error: SQLAlchemyError) -> JobsUnavailable | StorageFull:
    """What the client is told of an error of the database."""
    reason = getattr(error, "orig", None)
    if getattr(reason, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL or (
        getattr(reason, "sqlstate", None) == _POSTGRESQL_DISK_FULL
    ):
        return StorageFull("The disk of the database of jobs is full: make space, then try again")
    return JobsUnavailable("The server cannot reach the place where it keeps jobs; its log says why")
