"""`GET /v1/videos/{video_id}/events`."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from frontend.http.sse import LAST_EVENT_ID, event_stream
from frontend.job_events import OF_VIDEO, Naming, is_end, progress_events
from frontend.jobs.state import Job
from frontend.schemas.errors import ErrorBody
from frontend.schemas.job_events import PreviewsParam, VideoEvent, VideoPreview
from frontend.services import Services, ServicesDep
from frontend.visible_jobs import visible_job

router = APIRouter(prefix="/v1/videos", tags=["videos"])

STREAM: dict[str, Any] = {
    "content": {"text/event-stream": {"schema": {"type": "string"}}},
    "description": "One event for each change.",
}


@router.get(
    "/{video_id}/events",
    summary="Follow a video",
    description="Server-sent events, the present state first: `video.queued` with the jobs before it, "
    "`video.in_progress` with steps, frames and the seconds that are left, and at last `video.completed`, "
    "`video.failed` or `video.cancelled`. A client that was cut off says in `Last-Event-ID` what it has heard, as "
    "browsers do; one that has heard the end is answered with 204. Whether anybody listens makes no difference to "
    "the job.",
    response_class=Response,
    responses={
        200: STREAM,
        204: {"description": "The client has heard the last event."},
        404: {"model": ErrorBody, "description": "The video is not found or has expired."},
        "default": {"model": ErrorBody, "description": "Any other error."},
    },
    openapi_extra={
        "x-event-schema": VideoEvent.model_json_schema(),
        "x-preview-schema": VideoPreview.model_json_schema(),
    },
)
async def follow_video(
    request: Request, video_id: str, services: ServicesDep, previews: PreviewsParam = False
) -> Response:
    job = await visible_job(request, services, "video", video_id)
    return follow(request, services, job, OF_VIDEO, previews=previews)


def follow(request: Request, services: Services, job: Job, naming: Naming, *, previews: bool) -> Response:
    """The stream of what happens to a job; 204 where the client has heard all of it."""
    heard = request.headers.get(LAST_EVENT_ID)
    if job.state.is_finished and is_end(heard):
        return Response(status_code=204)
    events = services.jobs.listen(job.spec.id, previews=previews)
    return event_stream(request, progress_events(job, events, heard, naming))
