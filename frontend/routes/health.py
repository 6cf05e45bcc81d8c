"""`GET /health`, `/health/live`, `/health/ready`."""

import structlog
from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response

from frontend.errors import EngineFailed, EngineUnavailable
from frontend.schemas.health import Healthy, Unhealthy
from frontend.services import ServicesDep

router = APIRouter(tags=["operations"])
_log = structlog.get_logger(__name__)


@router.get("/health/live", summary="Does this process answer?", response_model_exclude_none=True)
async def live() -> Healthy:
    return Healthy()


@router.get(
    "/health",
    summary="Would a job run now?",
    description="Asks the launcher what is away, Triton for each model that a job needs, and `generate` for an answer.",
    responses={503: {"model": Unhealthy, "description": "Triton or a model is missing; the reason says which."}},
    response_model=Healthy,
    response_model_exclude_none=True,
)
@router.get(
    "/health/ready",
    summary="The same as /health",
    responses={503: {"model": Unhealthy, "description": "Triton or a model is missing; the reason says which."}},
    response_model=Healthy,
    response_model_exclude_none=True,
)
async def ready(services: ServicesDep) -> Healthy | Response:
    try:
        await services.generator.check_ready()
    except (EngineUnavailable, EngineFailed) as error:
        _log.warning("not ready", reason=error.message)
        return JSONResponse(Unhealthy(reason=error.message).model_dump(), 503)
    return Healthy(note=services.launcher_status.note())
