"""The jobs that a request may see: those of its API key, or all."""

from typing import Literal

from fastapi import Request

from frontend.errors import ImageNotFound, VideoNotFound
from frontend.http.request_identity import viewer_of
from frontend.jobs.state import Job
from frontend.services import Services
from protocol.printable import quoted

Kind = Literal["video", "image"]
_NOT_FOUND = {"video": VideoNotFound, "image": ImageNotFound}


async def visible_job(request: Request, services: Services, kind: Kind, job_id: str) -> Job:
    """The job that makes a `kind` of thing; another key's is not found, as if there were none.

    Raises:
        VideoNotFound, ImageNotFound: there is none, or it has expired.
        JobsUnavailable.
    """
    viewer = viewer_of(request)
    try:
        job = await services.jobs.get(job_id)
    except VideoNotFound:
        job = None
    if job is None or job.spec.product.kind != kind or viewer not in (None, job.owner):
        raise _NOT_FOUND[kind](f"{kind} {quoted(job_id, 100)} not found or expired", f"{kind}_id")
    return job
