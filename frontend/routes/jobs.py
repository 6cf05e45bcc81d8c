"""`GET /v1/jobs`, and `GET`, `DELETE` and the events of `/v1/jobs/{job_id}`: videos and images alike."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from frontend.http.request_identity import viewer_of
from frontend.job_events import OF_JOB
from frontend.jobs.listing import JobQuery, Kind
from frontend.jobs.state import Job, JobStatus
from frontend.links import links_for
from frontend.report import job_object
from frontend.routes.poll_after import POLL_AFTER, say_when_to_ask_again
from frontend.routes.video_events import STREAM, follow
from frontend.schemas.errors import ErrorBody
from frontend.schemas.fields import MAX_WORD
from frontend.schemas.job_events import JobEvent, JobPreview, JobPreviewsParam
from frontend.schemas.jobs import DeletedJob, JobList, JobObject
from frontend.schemas.pages import Limit, Order
from frontend.services import Services, ServicesDep
from frontend.visible_jobs import visible_job

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

_ERRORS: dict[int | str, dict[str, Any]] = {
    404: {"model": ErrorBody, "description": "The job is not found or has expired."},
    "default": {"model": ErrorBody, "description": "Any other error."},
}
JOB_GOES_ON: dict[int | str, dict[str, Any]] = {
    202: {"model": JobObject, "description": "Where `Prefer` asks for an answer before the job has ended: the job."}
}
"""of creates that can be answered with a job"""


@router.get(
    "",
    summary="List jobs: videos and images",
    description="Those of the request's API key, of an administrator's key all; in the order of their creation, the "
    "newest first. What is made or deleted meanwhile moves no job to another page.",
    responses=_ERRORS,
)
async def list_jobs(
    request: Request,
    services: ServicesDep,
    kind: Annotated[Kind | None, Query(description="Only those that make this.")] = None,
    status: Annotated[JobStatus | None, Query(description="Only those in this state.")] = None,
    model: Annotated[str | None, Query(max_length=MAX_WORD, description="Only those of this model.")] = None,
    search: Annotated[
        str | None,
        Query(max_length=MAX_WORD, description="Only those that have this in their prompt, in whatever case."),
    ] = None,
    after: Annotated[str | None, Query(description="The id of the last job of the page before.")] = None,
    limit: Limit = 20,
    order: Order = "desc",
) -> JobList:
    query = JobQuery(viewer_of(request), kind, status, model, search, after, limit, order)
    page = await services.jobs.page(query)
    links = await links_for(request, services)
    return JobList.of([job_object(job, links) for job in page.jobs], has_more=page.has_more)


@router.get(
    "/{job_id}",
    summary="Describe a job: how far it is, why it failed, or what it has made",
    description=f"While it goes on, `{POLL_AFTER}` says after how many milliseconds to ask again.",
    responses=_ERRORS,
)
async def get_job(request: Request, response: Response, job_id: str, services: ServicesDep) -> JobObject:
    return await _described(request, response, services, await visible_job(request, services, None, job_id))


@router.delete(
    "/{job_id}",
    summary="Delete a job with what it has made; stop it, if it goes on",
    description="It stops before its next step. When this is answered, its files are gone.",
    responses=_ERRORS,
)
async def delete_job(request: Request, job_id: str, services: ServicesDep) -> DeletedJob:
    job = await visible_job(request, services, None, job_id)
    await services.jobs.delete(job.spec.id)
    return DeletedJob(id=job.spec.id)


@router.get(
    "/{job_id}/events",
    summary="Follow a job",
    description="Server-sent events as of `/v1/videos/{id}/events`, with names that begin with `job.`: `job.queued`, "
    "`job.in_progress`, `job.preview`, `job.completed`, `job.failed` and `job.cancelled`.",
    response_class=Response,
    responses={
        **_ERRORS,
        200: STREAM,
        204: {"description": "The client has heard the last event."},
    },
    openapi_extra={
        "x-event-schema": JobEvent.model_json_schema(),
        "x-preview-schema": JobPreview.model_json_schema(),
    },
)
async def follow_job(
    request: Request, job_id: str, services: ServicesDep, previews: JobPreviewsParam = False
) -> Response:
    job = await visible_job(request, services, None, job_id)
    return follow(request, services, job, OF_JOB, previews=previews)


async def job_response(request: Request, response: Response, services: Services, job: Job) -> Response:
    """Of a create whose job goes on; with the headers of `response`."""
    described = await _described(request, response, services, job)
    return Response(described.model_dump_json(), 202, dict(response.headers), "application/json")


async def _described(request: Request, response: Response, services: Services, job: Job) -> JobObject:
    """The job object; `response` gets the header that belongs to it."""
    say_when_to_ask_again(response, job)
    return job_object(job, await links_for(request, services))
