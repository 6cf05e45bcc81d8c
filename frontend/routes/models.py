"""`GET /v1/models`."""

from typing import Any

from fastapi import APIRouter

from frontend.errors import EngineUnavailable
from frontend.schemas.errors import ErrorBody
from frontend.schemas.models import ComingModel, HostedModelInfo, Model, ModelList
from frontend.services import ServicesDep

router = APIRouter(prefix="/v1/models", tags=["models"])

_ERRORS: dict[int | str, dict[str, Any]] = {
    503: {"model": ErrorBody, "description": "Triton is away, or no model is loaded; see Retry-After."},
    "default": {"model": ErrorBody, "description": "Any other error."},
}
_NOT_FOUND: dict[int | str, dict[str, Any]] = {
    404: {"model": ErrorBody, "description": "No such model; the message names those served."}
}


@router.get(
    "", summary="List the served models, and those of hosted providers that there are keys for", responses=_ERRORS
)
async def list_models(services: ServicesDep) -> ModelList:
    coming = [ComingModel.of(one) for one in services.catalog.coming()]
    hosted = [HostedModelInfo.of(one, services.started_at) for one in services.video_service.registry.models()]
    try:
        cards = await services.catalog.cards()
    except EngineUnavailable:
        if not (coming or hosted):
            raise
        cards = []
    return ModelList(data=[*(Model.of(card, services.started_at) for card in cards), *hosted], coming=coming)


@router.get("/{model_id:path}", summary="Describe a served model", responses=_NOT_FOUND | _ERRORS)
async def get_model(model_id: str, services: ServicesDep) -> Model | HostedModelInfo:
    hosted = services.video_service.hosted(model_id)
    if hosted is not None:
        return HostedModelInfo.of(hosted, services.started_at)
    return Model.of(await services.catalog.get(model_id), services.started_at)
