"""The FastAPI application."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

import httpx
from fastapi import FastAPI

from frontend.body_limit import BodyLimitMiddleware
from frontend.clip import ClipMaker
from frontend.engine import Engine
from frontend.errors import install_error_handlers
from frontend.launcher_status import LauncherStatus
from frontend.logging import configure_logging
from frontend.metrics import Metrics
from frontend.model_catalog import ModelCatalog
from frontend.picture import PictureMaker
from frontend.recent_videos import RecentVideos
from frontend.request_id import RequestIdMiddleware
from frontend.request_log import RequestLogMiddleware
from frontend.routes import health, images_generations, loras, metrics, models, videos, videos_generations
from frontend.services import Services
from frontend.settings import Settings
from frontend.triton_engine import TritonEngine

_IMAGES_AT_ONCE = 2
"""decoded at the same time, because each may take hundreds of megabytes"""
_DESCRIPTION = """
Self-hosted video and image generation on NVIDIA Triton, with the shape of OpenAI's API.

Every error on `/v1` has the body `{"error": {"message", "type", "param", "code"}}`; `param` names the field:

| status | when |
|---|---|
| 400 | the body is not JSON, or asks for something that the model cannot do |
| 404, 405 | no such model or route, no such method |
| 413, 415 | the body is too large, or declared as something that the route does not read |
| 422 | a field is missing, has the wrong type, or is out of bounds |
| 429 | the queue is full; see `Retry-After` |
| 500 | a fault of ours; the message has the request's id |
| 503 | Triton or a model is away, or died during the job; see `Retry-After` |
| 504 | the job was not done in its time |

Every response has an `X-Request-Id`: the client's own where it sent one of up to 64 letters, digits, `.`, `_` and `-`.
"""
_TAGS = [
    {"name": "videos", "description": "Make clips."},
    {"name": "images", "description": "Make pictures."},
    {"name": "models", "description": "What is served: models with their defaults and limits, and adapters."},
    {"name": "operations", "description": "For probes and dashboards."},
]


def create_app(settings: Settings | None = None, engine: Engine | None = None) -> FastAPI:
    """The application; `uvicorn --factory` calls this.

    Args:
        settings: from the environment if None.
        engine: Triton, as the settings say where, if None. Opened and closed by the application.
    """
    settings = settings or Settings()
    launcher_status = LauncherStatus(settings.launcher_status)
    engine = engine or TritonEngine(
        settings.triton_url,
        stall_timeout_seconds=settings.stall_timeout_seconds,
        launcher_status=launcher_status,
    )
    own_metrics = Metrics()
    services = Services(
        settings=settings,
        engine=engine,
        launcher_status=launcher_status,
        catalog=ModelCatalog(engine),
        clips=ClipMaker(engine, own_metrics, settings.job_timeout_seconds),
        pictures=PictureMaker(engine, own_metrics, settings.job_timeout_seconds),
        recent_videos=RecentVideos(settings.recent_videos_max_bytes, settings.recent_videos_max_age_seconds),
        image_slots=asyncio.Semaphore(_IMAGES_AT_ONCE),
        metrics=own_metrics,
        http=httpx.AsyncClient(trust_env=False, timeout=2),
        started_at=int(time.time()),
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        configure_logging(settings.log_level, settings.log_format)
        async with services.http:
            await engine.open()
            try:
                yield
            finally:
                await engine.close()

    app = FastAPI(
        title="Tritonreel",
        version=version("tritonreel"),
        description=_DESCRIPTION,
        openapi_tags=_TAGS,
        lifespan=lifespan,
    )
    app.state.services = services
    for routes in (videos_generations, videos, images_generations, models, loras, health, metrics):
        app.include_router(routes.router)
    install_error_handlers(app)
    # The last one added is the outermost.
    uploads = {videos.router.prefix: settings.max_upload_bytes}
    app.add_middleware(BodyLimitMiddleware, max_bytes=settings.max_body_bytes, max_bytes_at=uploads)
    app.add_middleware(RequestLogMiddleware, metrics=own_metrics)
    app.add_middleware(RequestIdMiddleware)
    return app
