import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import httpx
import pytest
import structlog
from fastapi import FastAPI

from frontend.app import create_app
from frontend.generators.pool import Pool
from frontend.http.logging import configure_logging
from frontend.http.server import Server
from frontend.settings import Settings
from tests.frontend.fake_generator import FakeGenerator, pool_of
from tests.frontend.media.image_server import Certificates, ImageServer, serving
from tests.frontend.scripted_triton import Scripted
from tests.waiting import SECONDS, wait_until

Serve = Callable[[FastAPI], AbstractContextManager[str]]
NOWHERE = "http://127.0.0.1:9/metrics"
"""the discard port: nobody listens"""


@pytest.fixture(autouse=True)
def logs(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Log as the server does, and where pytest can see it."""
    before = logging.getLogger().handlers
    configure_logging("info", "json")
    logging.getLogger().handlers += before
    yield
    structlog.reset_defaults()
    logging.getLogger().handlers = before


@pytest.fixture(autouse=True)
def storage_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What a test stores is its own."""
    folder = tmp_path_factory.mktemp("kept") / "storage"
    monkeypatch.setenv("TRITONREEL_STORAGE", str(folder))
    return folder


@pytest.fixture
def generator() -> FakeGenerator:
    return FakeGenerator()


@pytest.fixture
def settings() -> Settings:
    return Settings(triton_metrics_url=NOWHERE, max_body_bytes=100_000)


@pytest.fixture
def app(settings: Settings, generator: FakeGenerator) -> FastAPI:
    return create_app(settings, generator)


def client_of(app: FastAPI) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app, raise_app_exceptions=False), base_url="http://127.0.0.1:8000"
    )


@pytest.fixture
def servers() -> list[FakeGenerator]:
    """Three Triton servers."""
    return [FakeGenerator() for _ in range(3)]


@pytest.fixture
async def pool(servers: list[FakeGenerator]) -> Pool:
    """Of `servers`, which have all answered."""
    pool = pool_of(*servers)
    await pool.models()
    return pool


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(app) as client:
        yield client


@contextmanager
def running(app: FastAPI, **settings: object) -> Iterator[Server]:
    """The real server on a free port, in a thread, with the settings of `app` or these."""
    options = {"port": 0, "shutdown_timeout_seconds": 2} | settings
    server = Server(app, app.state.services.settings.model_copy(update=options))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait_until(lambda: server.started)
    try:
        yield server
    finally:
        server.should_exit = True
        thread.join(SECONDS)


def url_of(server: Server) -> str:
    return f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"


@contextmanager
def serving_app(app: FastAPI) -> Iterator[str]:
    with running(app) as server:
        yield url_of(server)


@pytest.fixture(scope="session")
def serve() -> Serve:
    return serving_app


@pytest.fixture(scope="session")
def triton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scripted]:
    """A tritonserver that tests share; none harms it."""
    scripted = Scripted(tmp_path_factory.mktemp("triton"))
    try:
        scripted.server.start()
        yield scripted
    finally:
        scripted.server.kill()


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
async def image_server(certificates: Certificates) -> AsyncIterator[ImageServer]:
    """Of images, over HTTPS."""
    async with serving(certificates.server()) as server:
        yield server
