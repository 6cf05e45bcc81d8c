"""`POST /v1/images/generations`."""

import time

from fastapi import APIRouter, Request

from frontend.http.body import read_json
from frontend.http.disconnect import until_disconnected
from frontend.http.documented_errors import GENERATION_ERRORS
from frontend.http.openapi_body import json_body
from frontend.http.request_identity import RequestIdentity, identity_of
from frontend.plan import check_supported, plan_image
from frontend.report import images_response
from frontend.schemas.images_generations import ImageGenerationRequest, ImageGenerationResponse
from frontend.services import Services, ServicesDep

router = APIRouter(tags=["images"])


@router.post(
    "/v1/images/generations",
    summary="Make images from a text",
    description="Waits until the images are done. A client that closes the connection stops its job.",
    response_description="The images as base64 files, and how they were really made.",
    responses=GENERATION_ERRORS,
    openapi_extra=json_body(ImageGenerationRequest),
)
async def create_images(request: Request, services: ServicesDep) -> ImageGenerationResponse:
    body = await read_json(request, ImageGenerationRequest)
    return await until_disconnected(request, _create(body, identity_of(request, body), services))


async def _create(
    body: ImageGenerationRequest, identity: RequestIdentity, services: Services
) -> ImageGenerationResponse:
    created_at = time.time()
    check_supported(body, refuse_unknown_fields=services.settings.unknown_fields == "refuse")
    spec = plan_image(body, await services.catalog.choose(body.model, "text-to-image"), created_at)
    await services.jobs.submit(spec, owner=identity.owner, request_hash=identity.request_hash)
    return await images_response(await services.jobs.wait(spec.id))
