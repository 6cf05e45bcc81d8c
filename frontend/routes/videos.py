"""`GET /v1/videos`, and `GET` and `DELETE /v1/videos/{video_id}`."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from frontend.http.request_identity import viewer_of
from frontend.jobs.listing import JobQuery
from frontend.jobs.state import Job
from frontend.links import links_for
from frontend.report import video_object
from frontend.routes.poll_after import POLL_AFTER, say_when_to_ask_again
from frontend.schemas.errors import ErrorBody
from frontend.schemas.pages import Limit, Order
from frontend.schemas.videos import DeletedVideo, Video, VideoList
from frontend.services import Services, ServicesDep
from frontend.visible_jobs import visible_job

router = APIRouter(prefix="/v1/videos", tags=["videos"])

_ERROR: dict[int | str, dict[str, Any]] = {"default": {"model": ErrorBody, "description": "Any other error."}}
_ERRORS = _ERROR | {404: {"model": ErrorBody, "description": "The video is not found or has expired."}}


@router.get(
    "",
    summary="List videos",
    description="Those of the request's API key, of an administrator's key all; in the order of their creation, the "
    "newest first. A video stays in its place, whatever is made or deleted meanwhile.",
    responses=_ERRORS,
)
async def list_videos(
    request: Request,
    services: ServicesDep,
    after: Annotated[str | None, Query(description="The id of the last video of the page before.")] = None,
    limit: Limit = 20,
    order: Order = "desc",
) -> VideoList:
    query = JobQuery(owner=viewer_of(request), kind="video", after=after, limit=limit, order=order)
    page = await services.jobs.page(query)
    links = await links_for(request, services)
    return VideoList.of([video_object(job, links) for job in page.jobs], has_more=page.has_more)


@router.get(
    "/{video_id}",
    summary="Describe a video: how far it is, why it failed, or where it is",
    description=f"While it is being made, `{POLL_AFTER}` says after how many milliseconds to ask again.",
    responses=_ERRORS,
)
async def get_video(request: Request, response: Response, video_id: str, services: ServicesDep) -> Video:
    job = await visible_job(request, services, "video", video_id)
    return await described(request, response, services, job)


@router.delete(
    "/{video_id}",
    summary="Delete a video; stop it, if it is being made",
    description="It stops before its next step. When this is answered, its files are gone.",
    responses=_ERRORS,
)
async def delete_video(request: Request, video_id: str, services: ServicesDep) -> DeletedVideo:
    job = await visible_job(request, services, "video", video_id)
    await services.jobs.delete(job.spec.id)
    return DeletedVideo(id=job.spec.id)


async def described(request: Request, response: Response, services: Services, job: Job) -> Video:
    """The video object; `response` gets the header that belongs to it."""
    say_when_to_ask_again(response, job)
    return video_object(job, await links_for(request, services))
