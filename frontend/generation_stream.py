"""Answers of requests that ask for `stream: true`: how far the job is, then its result."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable

from pydantic import BaseModel

from frontend.errors import FrontendError
from frontend.http.errors import error_response
from frontend.http.sse import ServerSentEvent
from frontend.job_events import progress_events
from frontend.jobs.service import JobService
from frontend.jobs.state import FinishedJob
from protocol.errors import PipelineError

Results = Callable[[FinishedJob], Awaitable[list[tuple[str, BaseModel]]]]
"""The last events, type and data, of a completed job"""


async def generation_events(
    job_id: str, jobs: JobService, results: Results, *, with_progress: bool
) -> AsyncGenerator[ServerSentEvent, None]:
    """The events of a job that was submitted; `error` is the last one if it fails. Closing this stops the job."""
    waiting = asyncio.create_task(jobs.wait(job_id))
    try:
        if with_progress:
            async for event in progress_events(await jobs.get(job_id), jobs.listen(job_id)):
                yield event
        for kind, data in await results(await waiting):
            yield ServerSentEvent(kind, data.model_dump_json(exclude_none=True))
    except (FrontendError, PipelineError) as error:
        yield ServerSentEvent("error", bytes(error_response(error).body).decode())
    finally:
        waiting.cancel()  # which stops a job that has not ended
        await asyncio.wait((waiting,))
