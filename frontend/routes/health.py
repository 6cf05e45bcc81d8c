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
        reason = "; ".join([*map(str, services.launcher_status.coming()), error.message])
        _log.warning("not ready", reason=reason)
        return JSONResponse(Unhealthy(reason=reason).model_dump(), 503)
    notes = [services.launcher_status.note(), *map(str, services.launcher_status.coming())]
    return Healthy(note="; ".join(note for note in notes if note) or None)
