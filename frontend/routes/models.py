"""`GET /v1/models`."""

from typing import Any

from fastapi import APIRouter

from frontend.errors import EngineUnavailable
from frontend.schemas.errors import ErrorBody
from frontend.schemas.models import ComingModel, Model, ModelList
from frontend.services import ServicesDep

router = APIRouter(prefix="/v1/models", tags=["models"])

_ERRORS: dict[int | str, dict[str, Any]] = {
    503: {"model": ErrorBody, "description": "Triton is away, or no model is loaded; see Retry-After."},
    "default": {"model": ErrorBody, "description": "Any other error."},
}
_NOT_FOUND: dict[int | str, dict[str, Any]] = {
    404: {"model": ErrorBody, "description": "No such model; the message names those served."}
}


@router.get("", summary="List the served models", responses=_ERRORS)
async def list_models(services: ServicesDep) -> ModelList:
    coming = [ComingModel.of(one) for one in services.catalog.coming()]
    try:
        cards = await services.catalog.cards()
    except EngineUnavailable:
        if not coming:
            raise
        cards = []
    return ModelList(data=[Model.of(card, services.started_at) for card in cards], coming=coming)


@router.get("/{model_id:path}", summary="Describe a served model", responses=_NOT_FOUND | _ERRORS)
async def get_model(model_id: str, services: ServicesDep) -> Model:
    return Model.of(await services.catalog.get(model_id), services.started_at)
