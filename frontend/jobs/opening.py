"""Puts together what keeps and runs jobs, as the settings say."""

import socket
import uuid
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from frontend.jobs.errors import JobsError
from frontend.jobs.lock import FileLock
from frontend.jobs.queue import LocalQueue
from frontend.jobs.run import Runner
from frontend.jobs.service import JobService
from frontend.jobs.store import JobStore
from frontend.jobs.table import JobTable
from frontend.jobs.worker import JobWorker
from frontend.metrics import Metrics
from frontend.settings import Settings
from frontend.storage.storage import Storage

_FORMS = "must be sqlite:///FILE or postgresql://USER:PASSWORD@HOST/DATABASE"


def open_jobs(
    settings: Settings, runner: Runner, storage: Storage, metrics: Metrics, is_stopping: Callable[[], bool]
) -> JobService:
    """Jobs that are kept at `settings.jobs`, or in memory.

    Raises:
        JobsError: they cannot.
    """
    executor = f"{socket.gethostname()[:30]}-{uuid.uuid4().hex[:16]}"  # two that live must not have the same
    most, hosted, lock = settings.max_running_jobs, settings.max_hosted_jobs, None
    if settings.jobs is None:
        store = JobStore(JobTable(None), storage, settings.keep_jobs_seconds, threads=1)
        worker = JobWorker(runner, store, LocalQueue, executor, most, hosted, metrics, is_lone=True)
        return JobService(store, worker, metrics, is_stopping=is_stopping)
    from frontend.jobs.dbos_queue import DbosQueue  # most of a second to import, where it is not used

    url = _parse(settings.jobs.get_secret_value())
    if url.get_backend_name() == "sqlite":
        file = Path(str(url.database)).absolute()
        url, lock = url.set(database=str(file)), FileLock(file.with_name(f"{file.name}.lock"))
    store = JobStore(JobTable(url), storage, settings.keep_jobs_seconds)
    calls = None if lock else most
    worker = JobWorker(
        runner,
        store,
        lambda work: DbosQueue(url, executor, calls, work),
        executor,
        most,
        hosted,
        metrics,
        is_lone=lock is not None,
    )
    return JobService(store, worker, metrics, lock=lock, is_stopping=is_stopping)


def _parse(text: str) -> URL:
    """Raises JobsError, which does not quote what may hold a password."""
    try:
        url = make_url(text)
    except ArgumentError:
        raise JobsError(f"TRITONREEL_JOBS {_FORMS}") from None
    match url.get_backend_name():
        case "sqlite" if url.database and url.database != ":memory:":
            return url
        case "postgresql" | "postgres" if url.database:
            return url.set(drivername="postgresql+psycopg")
    raise JobsError(f"TRITONREEL_JOBS {_FORMS}")
