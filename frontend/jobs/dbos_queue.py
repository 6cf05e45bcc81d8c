"""The durable queue of jobs, on DBOS: the only module that imports it.

A job's entry is a workflow of one step. DBOS keeps it until the step has returned, whatever dies meanwhile: it begins
the step again when this process comes back, or in another process that is told that this one is dead.

Of DBOS these names are not public, and are tested with the release that is installed: `_recover_pending_workflows`, and
an instance's `background_thread_stop_events`.
"""

import asyncio
import logging
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from dbos import DBOS, DBOSPortableJSONSerializer, SetEnqueueOptions, SetWorkflowID
from dbos import _dbos as dbos_internals
from sqlalchemy import URL
from sqlalchemy.exc import SQLAlchemyError

from frontend.jobs.queue import Work

_NAME = "tritonreel"
_QUEUE = "video_jobs"
_APPLICATION_VERSION = "1"
"""constant: DBOS hands entries of one version to no process of another, so a new one would orphan those that wait"""
_POLL_SECONDS = 0.5
_log = logging.getLogger(__name__)
_LIVE = ("ENQUEUED", "PENDING", "DELAYED")

_work: Work | None = None
"""of the one queue that is open: DBOS itself is one per process"""


@DBOS.step(name="run")
async def _run(job_id: str) -> None:
    assert _work is not None
    await _work(job_id)


@DBOS.workflow(name="video_job_v1", max_recovery_attempts=None)
async def video_job_v1(job_id: str) -> None:
    """Frozen: entries of an earlier release are continued by it. Other steps need a workflow of another name."""
    await _run(job_id)


def _is_no_parking(record: logging.LogRecord) -> bool:
    """DBOS warns twice of each job that is parked, which is no fault."""
    return not record.getMessage().startswith("Asyncio task cancelled")


class DbosQueue:
    """Keeps its entries in a database; a `JobQueue`.

    Args:
        url: SQLite or PostgreSQL, where DBOS makes tables of its own.
        executor: name of this process, which no other has, nor has had: `take_over` what earlier ones have begun.
        max_calls: at the same time, of entries that were put in; no limit if None. Entries that are called wait for a
            place in this process, where no other one can run them: none must be called in vain where others could.
    """

    def __init__(self, url: URL, executor: str, max_calls: int | None, work: Work) -> None:
        self._url = url
        self._executor = executor
        self._max_calls = max_calls
        self._work = work

    async def open(self) -> None:
        """See `JobQueue.open`. Raises an error of DBOS or SQLAlchemy."""
        global _work
        if _work is not None:
            raise RuntimeError("a process has one durable queue")
        _work = self._work
        logger = logging.getLogger("dbos")
        logger.handlers = [logging.NullHandler()]  # DBOS adds its own format where there is none
        logger.filters = [_is_no_parking]
        DBOS(
            config={
                "name": _NAME,
                "system_database_url": self._url.render_as_string(hide_password=False),
                "application_version": _APPLICATION_VERSION,
                "executor_id": self._executor,
                "serializer": DBOSPortableJSONSerializer(),  # the default, pickle, runs code that the database holds
                "log_level": "WARNING",
                "notification_listener_polling_interval_sec": 0.1,  # by which `close` takes as long
            }
        )
        DBOS.launch()  # in the running loop, which makes it the loop of the workflows
        await DBOS.register_queue_async(
            _QUEUE,
            worker_concurrency=self._max_calls,
            polling_interval_sec=_POLL_SECONDS,
            on_conflict="always_update",
        )

    async def put(self, job_id: str, turn: int) -> None:
        """See `JobQueue.put`."""
        with SetWorkflowID(job_id), SetEnqueueOptions(priority=max(turn, 1)):
            await DBOS.enqueue_workflow_async(_QUEUE, video_job_v1, job_id)

    async def begin(self, job_id: str) -> None:
        """See `JobQueue.begin`."""
        with SetWorkflowID(job_id):
            await DBOS.start_workflow_async(video_job_v1, job_id)

    async def missing(self, job_ids: Iterable[str]) -> list[str]:
        """See `JobQueue.missing`.

        They were never added, or DBOS has given their entries up, or has begun them without a call.
        """
        asked = list(job_ids)
        if not asked:
            return []
        entries = await DBOS.list_workflows_async(
            workflow_ids=asked, status=list(_LIVE), load_input=False, load_output=False
        )
        live = {
            entry.workflow_id for entry in entries if entry.status != "PENDING" or entry.executor_id != self._executor
        }
        return [job_id for job_id in asked if job_id not in live]

    async def remove(self, job_ids: Iterable[str]) -> None:
        """See `JobQueue.remove`."""
        await DBOS.delete_workflows_async(list(job_ids))

    async def executors(self) -> set[str]:
        """See `JobQueue.executors`."""
        entries = await DBOS.list_workflows_async(status="PENDING", load_input=False, load_output=False)
        return {entry.executor_id for entry in entries if entry.executor_id}

    async def take_over(self, executors: Iterable[str]) -> None:
        """See `JobQueue.take_over`."""
        await asyncio.to_thread(DBOS._recover_pending_workflows, sorted(executors))

    def stop(self) -> None:
        """See `JobQueue.stop`."""
        instance = dbos_internals._dbos_global_instance
        for event in instance.background_thread_stop_events if instance else ():
            event.set()

    async def close(self) -> None:
        """See `JobQueue.close`."""
        global _work
        _work = None
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor())  # DBOS made its own the default, and shuts it down
        try:
            await asyncio.to_thread(DBOS._recover_pending_workflows, [self._executor])
        except SQLAlchemyError:
            _log.warning("jobs that were parked wait until another process finds this one gone")
        await asyncio.to_thread(DBOS.destroy)
