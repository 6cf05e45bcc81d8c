"""Puts together what keeps and runs jobs, as the settings say."""

import socket
import uuid
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from frontend.jobs.durable import DurableJobService
from frontend.jobs.errors import JobsError
from frontend.jobs.files import FolderFiles
from frontend.jobs.lock import FileLock
from frontend.jobs.queue import JobQueue
from frontend.jobs.run import Runner
from frontend.jobs.table import JobTable
from frontend.jobs.table_store import TableJobStore
from frontend.settings import Settings

_FORMS = "must be sqlite:///FILE or postgresql://USER:PASSWORD@HOST/DATABASE"


def durable_jobs(settings: Settings, runner: Runner, is_stopping: Callable[[], bool]) -> DurableJobService:
    """Jobs that are kept at `settings.jobs`.

    Raises:
        JobsError: they cannot.
    """
    assert settings.jobs is not None
    url = _parse(settings.jobs.get_secret_value())
    files, lock = settings.job_files, None
    executor = f"{socket.gethostname()[:30]}-{uuid.uuid4().hex[:16]}"  # two that live must not have the same
    if url.get_backend_name() == "sqlite":
        file = Path(str(url.database)).absolute()
        url, lock = url.set(database=str(file)), FileLock(file.with_name(f"{file.name}.lock"))
        files = files or file.with_suffix(".files")
    if files is None:
        raise JobsError("TRITONREEL_JOB_FILES has to name the folder for videos, which all frontends share.")
    return DurableJobService(
        runner,
        TableJobStore(JobTable(url), FolderFiles(files), settings.keep_jobs_seconds),
        lambda work: JobQueue(url, executor, settings.max_running_jobs, work),
        executor,
        settings.max_running_jobs,
        lock=lock,
        is_stopping=is_stopping,
    )


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
