"""`GET /v1/loras`."""

from typing import Annotated, Any

from fastapi import APIRouter, Query

from frontend.schemas.errors import ErrorBody
from frontend.schemas.loras import Lora, LoraList
from frontend.services import ServicesDep

router = APIRouter(prefix="/v1/loras", tags=["models"])

_ERRORS: dict[int | str, dict[str, Any]] = {
    404: {"model": ErrorBody, "description": "No such model; the message names those served."},
    503: {"model": ErrorBody, "description": "Triton is away, or no model is loaded; see Retry-After."},
    "default": {"model": ErrorBody, "description": "Any other error."},
}


@router.get(
    "",
    summary="List the adapters that requests can name",
    description="Those in the server's adapter folder now, whether they have been used or not. One that cannot be used "
    "with any served model has an `error` that says why.",
    responses=_ERRORS,
    response_model_exclude_none=True,
)
async def list_loras(
    services: ServicesDep,
    model: Annotated[str | None, Query(description="Only those that fit this served model.")] = None,
) -> LoraList:
    if model is not None:
        await services.catalog.get(model)
    loras = [Lora(**info.model_dump()) for info in await services.pool.loras()]
    return LoraList(data=[lora for lora in loras if model is None or model in lora.models])
