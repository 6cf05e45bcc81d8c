"""`GET /metrics`."""

import asyncio

import httpx
from fastapi import APIRouter
from fastapi.responses import PlainTextResponse, Response

from frontend.errors import JobsUnavailable
from frontend.metrics import CONTENT_TYPE
from frontend.services import ServicesDep

router = APIRouter(tags=["operations"])
_DATABASE_SECONDS = 2
"""below the patience of a Prometheus that asks every 5 s"""


@router.get(
    "/metrics",
    summary="Prometheus metrics",
    description="The frontend's own (`tritonreel_*`), then Triton's (`nv_*`) with those of `generate` (jobs waiting, "
    "jobs running, step batches), left out while Triton cannot be reached, and where Prometheus asks Triton itself.",
    response_class=PlainTextResponse,
)
async def metrics(services: ServicesDep) -> Response:
    services.metrics.jobs_running.set(services.jobs.running)
    for endpoint in services.pool.endpoints:
        services.metrics.server(endpoint.name, endpoint.is_healthy, endpoint.is_draining, endpoint.outstanding())
    services.metrics.storage_healthy.set(services.storage.trouble is None)
    try:
        async with asyncio.timeout(_DATABASE_SECONDS):
            services.metrics.jobs_waiting.set((await services.jobs.counts()).waiting)
    except (JobsUnavailable, TimeoutError):  # the last number of jobs stays
        services.metrics.database_healthy.set(0)
    else:
        services.metrics.database_healthy.set(1)
    return Response(services.metrics.text() + await _triton_text(services), media_type=CONTENT_TYPE)


async def _triton_text(services: ServicesDep) -> str:
    url = services.settings.triton_metrics_url
    if not url:
        return ""
    try:
        response = await services.http.get(url)
        response.raise_for_status()
    except httpx.HTTPError as error:
        return f"# Triton's metrics could not be read: {type(error).__name__}\n"
    return response.text
