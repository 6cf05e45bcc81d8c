"""The FastAPI application."""

import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

import httpx
import structlog
from fastapi import FastAPI, Security
from fastapi.security import HTTPBearer

from frontend.admission import Admission
from frontend.drains import Drains
from frontend.generators.endpoint import Endpoint
from frontend.generators.generator import Generator
from frontend.generators.pool import Pool
from frontend.generators.triton import TritonGenerator
from frontend.http.access import Access, decide_access
from frontend.http.authentication import KeyMiddleware
from frontend.http.body_limit import BodyLimitMiddleware, BodyLimits
from frontend.http.documented_errors import EVERY_ROUTE_ERRORS, KEYED_ROUTE_ERRORS, markdown_table
from frontend.http.errors import install_error_handlers
from frontend.http.head import HeadMiddleware
from frontend.http.held_bodies import HeldBodies
from frontend.http.hosts import HostMiddleware
from frontend.http.logging import configure_logging
from frontend.http.openapi_body import describe_bodies
from frontend.http.origins import OriginMiddleware
from frontend.http.request_id import RequestIdMiddleware
from frontend.http.request_log import RequestLogMiddleware
from frontend.http.security_headers import SecurityHeadersMiddleware
from frontend.http.signed_urls import SignatureMiddleware
from frontend.http.stop import Stop, StopMiddleware
from frontend.job_files import JobFiles
from frontend.jobs.hosted_runner import HostedRunner
from frontend.jobs.limits import Budget
from frontend.jobs.opening import open_jobs
from frontend.jobs.routed_runner import RoutedRunner
from frontend.jobs.runner import JobRunner
from frontend.launcher_status import LauncherStatus
from frontend.links import URL_KEY
from frontend.media.image_decoder import ImageDecoder
from frontend.media.image_fetcher import ImageFetcher
from frontend.metrics import Metrics
from frontend.model_catalog import ModelCatalog
from frontend.providers.registry import Registry
from frontend.routes import (
    contents,
    docs,
    health,
    images_generations,
    loras,
    metrics,
    models,
    page,
    servers,
    usage,
    video_creation,
    video_events,
    video_service,
    video_variations,
    videos,
    videos_generations,
)
from frontend.routes import jobs as job_routes
from frontend.schemas.images_generations import ImageGenerationRequest
from frontend.schemas.video_service import VideoServiceRequest
from frontend.schemas.videos_generations import VideoGenerationRequest
from frontend.services import Services
from frontend.settings import Settings
from frontend.storage.opening import open_bucket, open_storage
from frontend.video_service.assets import Assets
from frontend.video_service.service import VideoService
from tracing.export import FRONTEND, start_traces, stop_traces

_API_KEY = HTTPBearer(
    auto_error=False, scheme_name="API key", description="Made by `tritonreel keys add NAME`; not every server asks."
)
"""for the documentation; `KeyMiddleware` does the asking"""
_log = structlog.get_logger(__name__)
_DESCRIPTION = f"""
Self-hosted video and image generation on NVIDIA Triton, with the shape of OpenAI's API.

Every error on `/v1` has the body `{{"error": {{"message", "type", "param", "code"}}}}`; `param` names the field:

{markdown_table()}

A body may be sent compressed, with `Content-Encoding: gzip` or `deflate`; the limits are those of what it decodes to.

Every response has an `X-Request-Id`: the client's own where it sent one of up to 64 letters, digits, `.`, `_` and `-`.
"""
_UNTRACED = ("/health", "/metrics", "/docs", "/openapi.json", "/page/")
_FETCHED = {"https": ("https",), "http": ("https", "http"), "off": ()}
"""schemes, by `Settings.fetch_urls`"""
_VIDEOS = (videos_generations, video_creation, video_variations, videos, video_events, video_service)
_TAGS = [
    {"name": "videos", "description": "Make videos."},
    {"name": "images", "description": "Make images."},
    {"name": "jobs", "description": "Videos and images, however they were asked for."},
    {"name": "models", "description": "What is served: models with their defaults and limits, and adapters."},
    {"name": "operations", "description": "For probes and dashboards."},
]


def create_app(
    settings: Settings | None = None, generator: Generator | None = None, registry: Registry | None = None
) -> FastAPI:
    """The application. `frontend.http.server.Server` serves it; another ASGI server can, without its bounds.

    Args:
        settings: from the environment if None.
        generator: in place of the Triton servers that the settings name; one alone, or a `Pool`. Opened and closed by
            the application.
        registry: the hosted providers; those that the environment has keys for if None. Closed by the application.

    Raises:
        LocationError, StorageError: there is no such storage, or no keys for it.
        AccessError: it would be open to the network, and the settings do not say so; or the API keys cannot be read.
        JobsError: jobs cannot be kept as the settings say.
    """
    settings = settings or Settings()
    api_key = settings.api_key.get_secret_value() if settings.api_key else None
    access = decide_access(settings.host, settings.keys_file, api_key, settings.no_auth)
    launcher_status = LauncherStatus(settings.launcher_status)
    pool = generator if isinstance(generator, Pool) else _pool(settings, launcher_status, generator)
    own_metrics = Metrics()
    storage = open_storage(settings.storage, settings.spool, os.environ)
    bucket = open_bucket(settings.assets or settings.storage, os.environ)
    assets = Assets(bucket, settings.url_seconds if settings.asset_urls == "signed" else None) if bucket else None
    stop = Stop()
    registry = registry or Registry()
    local = JobRunner(
        pool,
        own_metrics,
        settings.job_timeout_seconds,
        settings.checkpoint_seconds,
        storage,
        settings.preview_seconds,
    )
    runner = RoutedRunner(local, HostedRunner(registry, own_metrics))
    jobs = open_jobs(settings, runner, storage, own_metrics, lambda: stop.begun)
    catalog = ModelCatalog(pool, launcher_status, aliases=settings.model_aliases)
    tls = httpx.create_ssl_context()
    services = Services(
        settings=settings,
        pool=pool,
        launcher_status=launcher_status,
        catalog=catalog,
        jobs=jobs,
        drains=Drains(pool, jobs),
        admission=Admission(
            jobs,
            access.keys,
            settings.max_waiting_jobs,
            Budget(settings.max_dollars_per_request, settings.max_dollars_per_day),
        ),
        storage=storage,
        files=JobFiles(jobs, storage),
        video_service=VideoService(catalog, registry),
        assets=assets,
        images=ImageDecoder(),
        image_fetcher=ImageFetcher(_FETCHED[settings.fetch_urls], settings.max_upload_bytes, tls),
        metrics=own_metrics,
        http=httpx.AsyncClient(verify=tls, trust_env=False, timeout=2),
        started_at=int(time.time()),
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        configure_logging(settings.log_level, settings.log_format)
        start_traces(FRONTEND)
        _announce(access)
        async with services.http, registry:
            await pool.open()
            await storage.start()
            try:
                await services.jobs.open(before=services.drains.open)
                try:
                    yield
                finally:
                    await services.drains.close()
                    await services.jobs.close()
            finally:
                await storage.close()
                services.image_fetcher.close()
                await services.images.close()
                await pool.close()
                stop_traces()

    app = FastAPI(
        title="Tritonreel",
        version=version("tritonreel"),
        description=_DESCRIPTION,
        openapi_tags=_TAGS,
        docs_url=None,  # FastAPI's page loads what it is made of from elsewhere
        redoc_url=None,
        lifespan=lifespan,
        # Its spans begin and end around all middleware. It makes them where `start_traces` has begun to export.
        telemetry={
            "metrics": False,
            "logs": False,
            "operation_spans": False,
            "auto_configure": False,
            "exclude": lambda scope: scope["path"].startswith(_UNTRACED),
        },
    )
    app.state.services = services
    app.state.stop = stop
    for routes in (*_VIDEOS, images_generations, contents, job_routes, models, loras, usage, servers, metrics):
        app.include_router(routes.router, dependencies=[Security(_API_KEY)], responses=KEYED_ROUTE_ERRORS)
    for routes in (health, docs, page):
        app.include_router(routes.router, responses=EVERY_ROUTE_ERRORS)
    describe_bodies(app, VideoGenerationRequest, ImageGenerationRequest, VideoServiceRequest)
    install_error_handlers(app)
    # The last one added is the outermost.
    body_limits = BodyLimits(
        max_bytes=settings.max_body_bytes,
        max_bytes_at=dict.fromkeys((*video_creation.PATHS, video_service.GENERATE), settings.max_upload_bytes),
        stall_seconds=settings.transfer_stall_seconds,
        min_bytes_per_second=settings.transfer_min_bytes_per_second,
    )
    held_bodies = HeldBodies(settings.max_held_body_bytes, settings.held_body_wait_seconds)
    app.add_middleware(HeadMiddleware)
    app.add_middleware(BodyLimitMiddleware, limits=body_limits, held=held_bodies)
    app.add_middleware(KeyMiddleware, keys=access.keys)
    app.add_middleware(SignatureMiddleware, key=lambda: jobs.secret(URL_KEY))
    # A proxy that ends TLS sends on what the page asks for, and the page's origin is the proxy's.
    own_origins = (settings.public_url,) if settings.public_url else ()
    app.add_middleware(OriginMiddleware, allowed=(*settings.allowed_origins, *own_origins))
    app.add_middleware(HostMiddleware, bound=settings.host, allowed=settings.allowed_hosts)
    app.add_middleware(StopMiddleware, stop=app.state.stop)
    app.add_middleware(RequestLogMiddleware, metrics=own_metrics)
    app.add_middleware(RequestIdMiddleware)
    app.add_middleware(SecurityHeadersMiddleware)
    return app


def _pool(settings: Settings, launcher_status: LauncherStatus, generator: Generator | None) -> Pool:
    """`generator`, or else the Triton servers, of which the first is the launcher's own where one runs."""
    if generator is not None:
        return Pool([Endpoint(settings.triton_url[0], generator)])
    stall_seconds = settings.stall_timeout_seconds
    first, *others = settings.triton_url
    clients = {first: TritonGenerator(first, stall_timeout_seconds=stall_seconds, launcher_status=launcher_status)}
    clients |= {other: TritonGenerator(other, stall_timeout_seconds=stall_seconds) for other in others}
    return Pool([Endpoint(url, client) for url, client in clients.items()])


def _announce(access: Access) -> None:
    """Say who may use the server; loudly if that is everybody."""
    (_log.warning if access.exposed else _log.info)(access.notice)
