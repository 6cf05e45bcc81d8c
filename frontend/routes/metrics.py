"""`GET /metrics`."""

from contextlib import suppress

import httpx
from fastapi import APIRouter
from fastapi.responses import PlainTextResponse, Response

from frontend.errors import JobsUnavailable
from frontend.metrics import CONTENT_TYPE
from frontend.services import ServicesDep

router = APIRouter(tags=["operations"])


@router.get(
    "/metrics",
    summary="Prometheus metrics",
    description="The frontend's own (`tritonreel_*`), then Triton's (`nv_*`) with those of `generate` (jobs waiting, "
    "jobs running, step batches), left out while Triton cannot be reached.",
    response_class=PlainTextResponse,
)
async def metrics(services: ServicesDep) -> Response:
    services.metrics.jobs_running.set(services.jobs.running)
    for endpoint in services.pool.endpoints:
        services.metrics.server(endpoint.name, endpoint.is_healthy, endpoint.outstanding())
    with suppress(JobsUnavailable):  # then the last number stays
        services.metrics.jobs_waiting.set((await services.jobs.counts()).waiting)
    return Response(services.metrics.text() + await _triton_text(services), media_type=CONTENT_TYPE)


async def _triton_text(services: ServicesDep) -> str:
    try:
        response = await services.http.get(services.settings.triton_metrics_url)
        response.raise_for_status()
    except httpx.HTTPError as error:
        return f"# Triton's metrics could not be read: {type(error).__name__}\n"
    return response.text
