"""`POST /v1/images/generations`."""

import time
from collections.abc import AsyncGenerator

from fastapi import APIRouter, Request
from fastapi.responses import Response

from frontend.generation import Generation
from frontend.http.body import read_json
from frontend.http.documented_errors import GENERATION_ERRORS
from frontend.http.openapi_body import json_body
from frontend.http.openapi_headers import IDEMPOTENCY, PREFER_JOB, REPEATS
from frontend.http.request_identity import identity_of
from frontend.http.sse import ServerSentEvent
from frontend.jobs.spec import JobSpec
from frontend.jobs.state import Job
from frontend.links import links_for
from frontend.partial_images import partial_image_events
from frontend.plan import check_supported, plan_image
from frontend.report import image_events, images_response
from frontend.routes.create_answer import answer_when_wanted
from frontend.routes.jobs import JOB_GOES_ON, described_job
from frontend.schemas.images_generations import ImageGenerationRequest, ImageGenerationResponse
from frontend.schemas.jobs import JobObject
from frontend.services import Services, ServicesDep

router = APIRouter(tags=["images"])


@router.post(
    "/v1/images/generations",
    summary="Make images from a text",
    description="Waits until the images are done. A client that closes the connection stops its job. With "
    "`stream: true` the answer is OpenAI's server-sent events: `image_generation.partial_image` for each of the "
    "`partial_images`, then `image_generation.completed` for each image, or `error`. "
    f"{REPEATS}",
    response_model=ImageGenerationResponse | JobObject,
    response_description="The images as base64 files, and how they were really made.",
    responses=GENERATION_ERRORS | JOB_GOES_ON,
    openapi_extra=json_body(ImageGenerationRequest) | {"parameters": [PREFER_JOB, IDEMPOTENCY]},
)
async def create_images(
    request: Request, response: Response, services: ServicesDep
) -> Response | ImageGenerationResponse | JobObject:
    body = await read_json(request, ImageGenerationRequest)
    identity, links = identity_of(request, body), await links_for(request, services)
    generation = Generation(
        request,
        services,
        identity,
        lambda: _plan(body, services),
        lambda finished: images_response(finished, links, body.response_format),
    )
    if body.stream:
        partials = body.partial_images or 0
        return await generation.stream(image_events, (lambda job: _partials(job, services)) if partials else None)
    return await answer_when_wanted(generation, response, lambda job: described_job(request, response, services, job))


def _partials(job: Job, services: Services) -> AsyncGenerator[ServerSentEvent, None]:
    return partial_image_events(job, services.jobs.listen(job.spec.id, previews=True))


async def _plan(body: ImageGenerationRequest, services: Services) -> JobSpec:
    created_at = time.time()
    check_supported(body, refuse_unknown_fields=services.settings.unknown_fields == "refuse")
    return plan_image(body, await services.catalog.choose(body.model, "text-to-image"), created_at)
