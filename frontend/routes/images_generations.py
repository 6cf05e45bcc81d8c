"""`POST /v1/images/generations`."""

import time

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel

from frontend.generation_stream import generation_events
from frontend.http.body import read_json
from frontend.http.disconnect import until_disconnected
from frontend.http.documented_errors import GENERATION_ERRORS
from frontend.http.openapi_body import json_body
from frontend.http.openapi_headers import IDEMPOTENCY, REPEATS
from frontend.http.request_identity import RequestIdentity, identity_of
from frontend.http.sse import event_stream
from frontend.jobs.spec import JobSpec
from frontend.jobs.state import FinishedJob
from frontend.links import Links, links_for
from frontend.plan import check_supported, plan_image
from frontend.report import image_events, images_response
from frontend.schemas.images_generations import ImageGenerationRequest, ImageGenerationResponse
from frontend.services import Services, ServicesDep
from frontend.submission import ended, submit_once

router = APIRouter(tags=["images"])


@router.post(
    "/v1/images/generations",
    summary="Make images from a text",
    description="Waits until the images are done. A client that closes the connection stops its job. With "
    "`stream: true` the answer is OpenAI's server-sent events: `image_generation.completed` for each image, or "
    f"`error`. {REPEATS}",
    response_model=ImageGenerationResponse,
    response_description="The images as base64 files, and how they were really made.",
    responses=GENERATION_ERRORS,
    openapi_extra=json_body(ImageGenerationRequest) | {"parameters": [IDEMPOTENCY]},
)
async def create_images(request: Request, services: ServicesDep) -> Response | ImageGenerationResponse:
    body = await read_json(request, ImageGenerationRequest)
    identity, links = identity_of(request, body), await links_for(request, services)
    if not body.stream:
        return await until_disconnected(request, _create(body, identity, services, links))

    async def results(finished: FinishedJob) -> list[BaseModel]:
        return [*image_events(await images_response(finished, links, body.response_format))]

    job = await until_disconnected(request, submit_once(services, identity, lambda: _plan(body, services)))
    return event_stream(request, generation_events(job, services, identity, results, with_progress=False))


async def _create(
    body: ImageGenerationRequest, identity: RequestIdentity, services: Services, links: Links
) -> ImageGenerationResponse:
    job = await submit_once(services, identity, lambda: _plan(body, services))
    return await images_response(await ended(services, job, identity), links, body.response_format)


async def _plan(body: ImageGenerationRequest, services: Services) -> JobSpec:
    created_at = time.time()
    check_supported(body, refuse_unknown_fields=services.settings.unknown_fields == "refuse")
    return plan_image(body, await services.catalog.choose(body.model, "text-to-image"), created_at)
