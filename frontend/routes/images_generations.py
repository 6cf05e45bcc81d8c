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
from frontend.http.request_identity import RequestIdentity, identity_of
from frontend.http.sse import event_stream
from frontend.jobs.state import FinishedJob
from frontend.plan import check_supported, plan_image
from frontend.report import image_events, images_response
from frontend.schemas.images_generations import ImageGenerationRequest, ImageGenerationResponse
from frontend.services import Services, ServicesDep

router = APIRouter(tags=["images"])


@router.post(
    "/v1/images/generations",
    summary="Make images from a text",
    description="Waits until the images are done. A client that closes the connection stops its job. With "
    "`stream: true` the answer is OpenAI's server-sent events: `image_generation.completed` for each image, or "
    "`error`.",
    response_model=ImageGenerationResponse,
    response_description="The images as base64 files, and how they were really made.",
    responses=GENERATION_ERRORS,
    openapi_extra=json_body(ImageGenerationRequest),
)
async def create_images(request: Request, services: ServicesDep) -> Response | ImageGenerationResponse:
    body = await read_json(request, ImageGenerationRequest)
    identity = identity_of(request, body)
    if not body.stream:
        return await until_disconnected(request, _create(body, identity, services))
    job_id = await until_disconnected(request, _submit(body, identity, services))
    return event_stream(request, generation_events(job_id, services.jobs, _results, with_progress=False))


async def _results(finished: FinishedJob) -> list[tuple[str, BaseModel]]:
    return [(image.type, image) for image in image_events(await images_response(finished))]


async def _create(
    body: ImageGenerationRequest, identity: RequestIdentity, services: Services
) -> ImageGenerationResponse:
    return await images_response(await services.jobs.wait(await _submit(body, identity, services)))


async def _submit(body: ImageGenerationRequest, identity: RequestIdentity, services: Services) -> str:
    """The id of the job."""
    created_at = time.time()
    check_supported(body, refuse_unknown_fields=services.settings.unknown_fields == "refuse")
    limits = await services.admission.admit(identity.owner)
    spec = plan_image(body, await services.catalog.choose(body.model, "text-to-image"), created_at)
    await services.jobs.submit(spec, owner=identity.owner, request_hash=identity.request_hash, limits=limits)
    return spec.id
