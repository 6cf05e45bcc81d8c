"""Requests whose answer has what was made: as a whole, or as a stream that tells meanwhile how far the job is."""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Generic, TypeVar

from fastapi import Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from frontend.http.disconnect import until_disconnected
from frontend.http.errors import error_response
from frontend.http.request_identity import RequestIdentity
from frontend.http.sse import ServerSentEvent, event_stream
from frontend.jobs.spec import JobSpec
from frontend.jobs.state import FinishedJob, Job
from frontend.services import Services
from frontend.submission import ended, submit_once

Answer = TypeVar("Answer", bound=BaseModel)


@dataclass(frozen=True)
class Generation(Generic[Answer]):
    """One such request. A client that leaves stops its job, as `ended` says."""

    request: Request
    services: Services
    identity: RequestIdentity
    plan: Callable[[], Awaitable[JobSpec]]
    """called where the request asks for a new job"""
    respond: Callable[[FinishedJob], Awaitable[Answer]]

    async def answer(self) -> Answer:
        """When the job is completed. Raises as `submit_once` and `ended`."""
        return await until_disconnected(self.request, self._answer())

    async def answer_within(self, seconds: int) -> Answer | Job:
        """When the job is completed, or the job as it is after `seconds`; it goes on if the client leaves.

        Raises as `submit_once`, and as `ended` where it fails within that time.
        """
        return await until_disconnected(self.request, self._answer_within(seconds))

    async def stream(
        self,
        events: Callable[[Answer], Sequence[BaseModel]],
        meanwhile: Callable[[Job], AsyncGenerator[ServerSentEvent, None]] | None = None,
    ) -> StreamingResponse:
        """At once, when the job is kept. Raises as `submit_once`; what goes wrong later is the stream's last event.

        Args:
            events: the last events, which say their `type`, from what would have been the answer.
            meanwhile: those that come before, up to the job's end.
        """
        job = await until_disconnected(self.request, self._submit())
        return event_stream(self.request, self._events(job, events, meanwhile))

    async def _submit(self) -> Job:
        return await submit_once(self.services, self.identity, self.plan)

    async def _answer(self) -> Answer:
        return await self.respond(await ended(self.services, await self._submit(), self.identity))

    async def _answer_within(self, seconds: int) -> Answer | Job:
        async def detached() -> JobSpec:
            return (await self.plan()).model_copy(update={"detached": True})

        job = await submit_once(self.services, self.identity, detached)
        job = await self.services.jobs.wait_up_to(job.spec.id, seconds)
        if not job.state.is_finished:
            return job
        return await self.respond(await ended(self.services, job, self.identity))

    async def _events(
        self,
        job: Job,
        last: Callable[[Answer], Sequence[BaseModel]],
        meanwhile: Callable[[Job], AsyncGenerator[ServerSentEvent, None]] | None,
    ) -> AsyncGenerator[ServerSentEvent, None]:
        waiting = asyncio.create_task(ended(self.services, job, self.identity))
        try:
            if meanwhile is not None:
                async with aclosing(meanwhile(job)) as before:
                    async for told in before:
                        yield told
            for event in last(await self.respond(await waiting)):
                data = event.model_dump(mode="json", exclude_none=True)
                yield ServerSentEvent(data["type"], json.dumps(data))
        except Exception as error:  # the status was sent, so nobody else could say it
            yield ServerSentEvent("error", bytes(error_response(error).body).decode())
        finally:
            waiting.cancel()  # which stops a job that has not ended
            await asyncio.wait((waiting,))
