"""`POST /video/generate` and `POST /video/extend`: one door to hosted providers and to this server's own models."""

import asyncio
from functools import partial

from fastapi import APIRouter, Request, Response
from fastapi.exceptions import RequestValidationError

from frontend.errors import VideoNotFound
from frontend.generation import Generation
from frontend.http.body import read_json
from frontend.http.documented_errors import SERVICE_ERRORS
from frontend.http.openapi_body import json_body
from frontend.http.openapi_headers import IDEMPOTENCY, PREFER_WAITING, REPEATS
from frontend.http.request_identity import identity_of
from frontend.http.validation_message import field_of, message_of
from frontend.job_files import check_completed
from frontend.jobs.spec import JobSpec
from frontend.jobs.state import FinishedJob, Job
from frontend.links import links_for
from frontend.media.reference_image import ReferenceImage
from frontend.plan import check_unknown_fields
from frontend.report import base64_of
from frontend.routes.create_answer import answer_when_wanted
from frontend.routes.videos import described
from frontend.schemas.video_service import VideoServiceJob, VideoServiceRequest, VideoServiceResponse
from frontend.services import Services, ServicesDep
from frontend.video_service.answer import answer_of
from frontend.video_service.hosted_plan import size_of_start
from frontend.video_service.wishes import named
from frontend.visible_jobs import visible_job
from protocol.errors import InvalidRequest

router = APIRouter(prefix="/video", tags=["videos"])
GENERATE = f"{router.prefix}/generate"
"""whose bodies may carry an image"""
_IMAGE = "input_image_url"
_JOBS = (
    "Waits until it is done; meanwhile the video is a job like those of `/v1/videos`, which lists it and has its "
    "events. What was asked for and is not offered becomes the nearest that is, which `changes` says, or is refused "
    f"where `settings.video.strict` is set. {REPEATS}"
)


@router.post(
    "/generate",
    summary="Make a video, at a hosted provider or here",
    description=f"The model decides who makes it. {_JOBS}",
    responses=SERVICE_ERRORS,
    openapi_extra=json_body(VideoServiceRequest) | {"parameters": [IDEMPOTENCY, PREFER_WAITING]},
)
async def generate(
    request: Request, response: Response, services: ServicesDep
) -> VideoServiceResponse | VideoServiceJob:
    body = await _read(request)

    async def plan() -> JobSpec:
        check_unknown_fields(body, refuse=services.settings.unknown_fields == "refuse")
        make = await services.video_service.planner(body)
        if body.input_image_url is None:
            return make(None)
        async with services.image_fetcher.fetched(body.input_image_url, _IMAGE) as file:
            image = await asyncio.to_thread(ReferenceImage.open, file, services.settings.max_image_pixels, _IMAGE)
            spec = make(image)
            return spec.starting_from(await services.images.fit(image, *size_of_start(spec, image)))

    identity = await asyncio.to_thread(identity_of, request, body)  # megabytes, where there is an image
    answer = partial(_answer, request, services, body)
    return await _made(Generation(request, services, identity, plan, answer), response)


@router.post(
    "/extend",
    summary="Make a video longer, at its provider or here",
    description="A video of KlingAI or Veo goes on there; any video of this server goes on here, from its last frame, "
    f"with a model that makes videos from images, and the answer is both joined. {_JOBS}",
    responses=SERVICE_ERRORS,
    openapi_extra=json_body(VideoServiceRequest) | {"parameters": [IDEMPOTENCY, PREFER_WAITING]},
)
async def extend(request: Request, response: Response, services: ServicesDep) -> VideoServiceResponse | VideoServiceJob:
    body = await _read(request)
    video_id = body.settings.video.video_id or body.settings.video_id
    if video_id is None:
        raise InvalidRequest("is required: the video that goes on", named("video_id"))
    original = await _original(request, services, video_id)

    async def plan() -> JobSpec:
        check_unknown_fields(body, refuse=services.settings.unknown_fields == "refuse")
        if original is not None:
            check_completed(original)
        spec = await services.video_service.plan_extension(body, video_id, original)
        if original is None or spec.is_hosted:
            return spec
        return spec.starting_from(await services.files.last_frame(original))

    identity = identity_of(request, body)
    answer = partial(_answer, request, services, body, source_video_id=video_id)
    return await _made(Generation(request, services, identity, plan, answer), response)


async def _read(request: Request) -> VideoServiceRequest:
    """Raises InvalidRequest for what the schema rejects, which is a 400 here, and what else `read_json` raises."""
    try:
        return await read_json(request, VideoServiceRequest)
    except RequestValidationError as error:
        field, message = field_of(error.errors()[0]), message_of(error.errors())
        raise InvalidRequest(message.removeprefix(f"{field} "), field) from None


async def _made(
    generation: Generation[VideoServiceResponse], response: Response
) -> VideoServiceResponse | VideoServiceJob:
    """The answer when the request wants it."""

    async def describe(job: Job) -> VideoServiceJob:
        video = await described(generation.request, response, generation.services, job)
        return VideoServiceJob(message=f"GET /v1/videos/{video.id} tells how far it is", data=video)

    return await answer_when_wanted(generation, response, describe)


async def _answer(
    request: Request,
    services: Services,
    body: VideoServiceRequest,
    finished: FinishedJob,
    source_video_id: str | None = None,
) -> VideoServiceResponse:
    if not body.save_to_db:
        urls = [f"data:video/mp4;base64,{text}" for text in await base64_of(finished)]
    elif services.assets is not None:
        urls = await services.assets.keep(finished, body.customer_id)
    else:
        urls = (await links_for(request, services)).of(finished.job)
    return answer_of(finished.job, urls, source_video_id)


async def _original(request: Request, services: Services, video_id: str) -> Job | None:
    """The job that has made the video; None where it is none of this server's."""
    try:
        return await visible_job(request, services, "video", video_id)
    except VideoNotFound:
        if video_id.startswith("video_"):
            raise
        return None
