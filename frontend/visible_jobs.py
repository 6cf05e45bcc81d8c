"""The jobs that a request may see: those of its API key, or all."""

from fastapi import Request

from frontend.errors import VideoNotFound
from frontend.http.request_identity import viewer_of
from frontend.jobs.listing import Kind
from frontend.jobs.service import not_found
from frontend.jobs.state import Job
from frontend.services import Services


async def visible_job(request: Request, services: Services, kind: Kind | None, job_id: str) -> Job:
    """The job that makes a `kind` of thing, or whatever if None; another key's is not found, as if there were none.

    Raises:
        VideoNotFound, ImageNotFound, JobNotFound: there is none, or it has expired.
        JobsUnavailable.
    """
    viewer = viewer_of(request)
    try:
        job = await services.jobs.get(job_id)
    except VideoNotFound:
        job = None
    if job is None or kind not in (None, job.spec.product.kind) or viewer not in (None, job.owner):
        raise not_found(job_id, f"{kind or 'job'}_id", kind)
    return job
