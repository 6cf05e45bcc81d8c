"""Answers of requests that ask for `stream: true`: how far the job is, then its result."""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable

from pydantic import BaseModel

from frontend.errors import FrontendError
from frontend.http.errors import error_response
from frontend.http.request_identity import RequestIdentity
from frontend.http.sse import ServerSentEvent
from frontend.job_events import progress_events
from frontend.jobs.state import FinishedJob, Job
from frontend.services import Services
from frontend.submission import ended
from protocol.errors import PipelineError

Results = Callable[[FinishedJob], Awaitable[list[BaseModel]]]
"""The last events of a completed job; each has a `type`"""


async def generation_events(
    job: Job, services: Services, identity: RequestIdentity, results: Results, *, with_progress: bool
) -> AsyncGenerator[ServerSentEvent, None]:
    """The events of a job that was submitted; `error` is the last one if it fails.

    Closing this stops the job, as `ended` says.
    """
    waiting = asyncio.create_task(ended(services, job, identity))
    try:
        if with_progress:
            async for told in progress_events(job, services.jobs.listen(job.spec.id)):
                yield told
        for event in await results(await waiting):
            data = event.model_dump(mode="json", exclude_none=True)
            yield ServerSentEvent(data["type"], json.dumps(data))
    except (FrontendError, PipelineError) as error:
        yield ServerSentEvent("error", bytes(error_response(error).body).decode())
    finally:
        waiting.cancel()  # which stops a job that has not ended
        await asyncio.wait((waiting,))
