"""`POST /v1/images/generations`."""

import asyncio
import base64
import time

from fastapi import APIRouter, Depends, Request

from frontend.content_type import require_json
from frontend.disconnect import until_disconnected
from frontend.http.body import read_json
from frontend.image_plan import check_supported, plan_image
from frontend.openapi_body import json_body
from frontend.picture import Picture
from frontend.request_id import current_request_id
from frontend.routes.generation_errors import GENERATION_ERRORS
from frontend.schemas.images_generations import (
    ImageGenerationRequest,
    ImageGenerationResponse,
    PictureData,
    PictureParams,
)
from frontend.schemas.timings import Timings
from frontend.services import Services, ServicesDep

router = APIRouter(tags=["images"])


@router.post(
    "/v1/images/generations",
    summary="Make pictures from a text",
    description="Waits until the pictures are done. A client that closes the connection stops its jobs.",
    response_description="The pictures as base64 files, and how they were really made.",
    responses=GENERATION_ERRORS,
    dependencies=[Depends(require_json)],
    openapi_extra=json_body(ImageGenerationRequest),
)
async def create_images(request: Request, services: ServicesDep) -> ImageGenerationResponse:
    body = await read_json(request, ImageGenerationRequest)
    return await until_disconnected(request, _create(body, services))


async def _create(body: ImageGenerationRequest, services: Services) -> ImageGenerationResponse:
    started = time.monotonic()
    check_supported(body, refuse_unknown_fields=services.settings.unknown_fields == "refuse")
    plan = plan_image(body, await services.catalog.choose(body.model, "text-to-image"))
    pictures = await services.pictures.make_all(plan.model, plan.pictures, plan.encoder, current_request_id())
    data = [await _data(picture) for picture in pictures]
    made = pictures[0].info.spec
    return ImageGenerationResponse(
        created=int(time.time()),
        model=plan.model,
        size=f"{made.width}x{made.height}",
        output_format=plan.encoder.format,
        params=PictureParams.model_validate(made, from_attributes=True),
        data=data,
        timings=Timings.of_request([picture.timings for picture in data], time.monotonic() - started),
        warnings=list(plan.warnings),
    )


async def _data(picture: Picture) -> PictureData:
    timings = Timings.of_job(picture.info.timings, picture.encode_seconds)
    encoded = (await asyncio.to_thread(base64.b64encode, picture.file)).decode()
    return PictureData(b64_json=encoded, seed=picture.info.spec.seed, timings=timings)
