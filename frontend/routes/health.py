"""`GET /health`, `/health/live`, `/health/ready`."""

import asyncio
from typing import Any

import structlog
from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response

from frontend.errors import EngineFailed, EngineUnavailable, JobsUnavailable, StorageFull
from frontend.schemas.health import Healthy, Unhealthy
from frontend.services import ServicesDep

router = APIRouter(tags=["operations"])
_DATABASE_SECONDS = 5
_UNHEALTHY: dict[int | str, dict[str, Any]] = {
    503: {
        "model": Unhealthy,
        "description": "Triton, a model or the database of jobs is missing; the reason says which.",
    }
}
_log = structlog.get_logger(__name__)


@router.get("/health/live", summary="Does this process answer?", response_model_exclude_none=True)
async def live() -> Healthy:
    return Healthy()


@router.get(
    "/health",
    summary="Would a job run now?",
    description="Asks the launcher what is away, Triton for each model that a job needs, `generate` for an answer, "
    "and the database of jobs for their number. One of several Triton servers is enough.",
    responses=_UNHEALTHY,
    response_model=Healthy,
    response_model_exclude_none=True,
)
@router.get(
    "/health/ready",
    summary="The same as /health",
    responses=_UNHEALTHY,
    response_model=Healthy,
    response_model_exclude_none=True,
)
async def ready(services: ServicesDep) -> Healthy | Response:
    try:
        await services.pool.check_ready()
        async with asyncio.timeout(_DATABASE_SECONDS):
            await services.jobs.counts()
    except TimeoutError:
        return _unhealthy("The database of jobs does not answer")
    except (EngineUnavailable, EngineFailed, JobsUnavailable, StorageFull) as error:
        return _unhealthy("; ".join([*map(str, services.launcher_status.coming()), error.message]))
    notes = [services.launcher_status.note(), *map(str, services.launcher_status.coming()), *services.pool.troubles()]
    if services.storage.trouble is not None:
        notes.append(f"files wait in the spool folder for their upload: {services.storage.trouble}")
    return Healthy(note="; ".join(note for note in notes if note) or None)


def _unhealthy(reason: str) -> Response:
    _log.warning("not ready", reason=reason)
    return JSONResponse(Unhealthy(reason=reason).model_dump(), 503)
