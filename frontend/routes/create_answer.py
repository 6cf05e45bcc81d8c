"""The answer to a create, when its request wants it."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from fastapi import Request, Response

from frontend.generation import Answer, Generation
from frontend.http.prefer import Preference, preference_of
from frontend.http.request_identity import RequestIdentity
from frontend.jobs.state import Job
from frontend.links import links_for
from frontend.report import created_video
from frontend.routes.videos import described
from frontend.schemas.videos import CreatedVideo, Video
from frontend.services import Services
from frontend.submission import ended

Description = TypeVar("Description")


async def answer_when_wanted(
    generation: Generation[Answer], response: Response, describe: Callable[[Job], Awaitable[Description]]
) -> Answer | Description:
    """The answer of `generation`; where the request asks for one that does not wait so long, and the job goes on, what
    `describe` says of it, with the status 202.

    Raises:
        As `Generation.answer` and `Generation.answer_within`.
    """
    preference = preference_of(generation.request, waits=True)
    if preference.seconds is None:
        return await generation.answer()
    answer = await generation.answer_within(preference.seconds)
    response.headers["Preference-Applied"] = str(preference.applied)
    if not isinstance(answer, Job):
        return answer
    response.status_code = 202
    return await describe(answer)


async def answer_to_create(
    request: Request,
    response: Response,
    services: Services,
    job: Job,
    identity: RequestIdentity,
    preference: Preference,
    response_format: str | None = None,
) -> CreatedVideo | Video:
    """The video object, with the videos where the job is completed by then.

    Raises:
        As `JobService.wait` where the answer waits to the end. Otherwise a job that failed is a result.
    """
    if preference.applied:
        response.headers["Preference-Applied"] = preference.applied
    if preference.seconds is not None:
        job = await services.jobs.wait_up_to(job.spec.id, preference.seconds)
        if preference.seconds == 0 or job.state.status != "completed":
            return await described(request, response, services, job)
    finished = await ended(services, job, identity)
    return await created_video(finished, await links_for(request, services), response_format)
