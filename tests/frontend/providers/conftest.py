"""Engines whose provider is a demonstration server on a real socket."""

import asyncio
import subprocess
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest
from google.oauth2.credentials import Credentials
from pydantic import SecretStr
from starlette.responses import Response

from frontend.providers import engine
from frontend.providers.demo import klingai as demo_klingai
from frontend.providers.demo import sora as demo_sora
from frontend.providers.demo import veo as demo_veo
from frontend.providers.demo import wavespeed as demo_wavespeed
from frontend.providers.demo.jobs import DemoJobs, Request
from frontend.providers.demo.server import serving
from frontend.providers.engine import Engine, HostedVideo
from frontend.providers.gemini_veo import Veo
from frontend.providers.klingai import KlingAI
from frontend.providers.openai_sora import Sora
from frontend.providers.provider import Prediction, Provider
from frontend.providers.request import FittedRequest
from frontend.providers.wavespeed import WaveSpeed

KEY = "the-key-of-the-demo"
KLING_ACCESS, KLING_SECRET = "the-access-key-of-the-demo", "the-secret-key-of-the-demo-which-is-long"


def access(token: str) -> Credentials:
    """Google's, that need no refreshing."""
    return Credentials(token)  # type: ignore[no-untyped-call]


@dataclass
class Told:
    """What an engine says while it works."""

    progress: list[tuple[float, str]] = field(default_factory=list)
    kept: list[Prediction | None] = field(default_factory=list)

    async def tell(self, percent: float, message: str) -> None:
        self.progress.append((percent, message))

    async def keep(self, prediction: Prediction | None) -> None:
        self.kept.append(prediction)


@dataclass
class Place:
    """A provider, and the server that it speaks with."""

    provider: Provider[FittedRequest]
    jobs: DemoJobs
    url: str
    told: Told = field(default_factory=Told)

    def engine(self, deadline_seconds: float = 60.0) -> Engine[FittedRequest]:
        return Engine(self.provider, deadline_seconds, poll_seconds=0.02)

    async def make(self, request: FittedRequest, resume: Prediction | None = None) -> HostedVideo[FittedRequest]:
        """One video, whose engine says to `told` what it does."""
        return await self.engine().run(request, self.told.tell, self.told.keep, resume)

    def instead(self, kind: Request, *answers: Response) -> None:
        """Have the server answer so to the next requests of a kind."""
        self.jobs.answers[kind] = deque(answers)

    async def nearly_late(self, request: FittedRequest) -> Prediction:
        """A job that the provider has taken, for which `engine` waits half a second more."""
        prediction = await self.provider.submit(request)
        return replace(prediction, submitted_at=time.time() - 59.5)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asks again soon."""
    monkeypatch.setattr(engine, "_FIRST_PAUSE", 0.02)


@pytest.fixture
def wavespeed_jobs() -> DemoJobs:
    return DemoJobs(KEY)


@pytest.fixture
def wavespeed_url(wavespeed_jobs: DemoJobs) -> Iterator[str]:
    with serving(demo_wavespeed.make_app(wavespeed_jobs)) as url:
        yield url


@pytest.fixture
async def wavespeed(wavespeed_jobs: DemoJobs, wavespeed_url: str) -> AsyncIterator[Place]:
    provider = WaveSpeed(SecretStr(KEY), wavespeed_url)
    yield Place(provider, wavespeed_jobs, wavespeed_url)
    await provider.close()


@pytest.fixture
async def klingai() -> AsyncIterator[Place]:
    jobs = DemoJobs(f"{KLING_ACCESS}:{KLING_SECRET}")
    with serving(demo_klingai.make_app(jobs)) as url:
        provider = KlingAI(SecretStr(KLING_ACCESS), SecretStr(KLING_SECRET), url)
        yield Place(provider, jobs, url)
        await provider.close()


@pytest.fixture
async def sora() -> AsyncIterator[Place]:
    jobs = DemoJobs(KEY)
    with serving(demo_sora.make_app(jobs)) as url:
        provider = Sora(SecretStr(KEY), f"{url}/v1")
        yield Place(provider, jobs, url)
        await provider.close()


@pytest.fixture
def veo_jobs() -> DemoJobs:
    return DemoJobs(KEY)


@pytest.fixture
def veo_url(veo_jobs: DemoJobs) -> Iterator[str]:
    with serving(demo_veo.make_app(veo_jobs)) as url:
        yield url


@pytest.fixture
async def veo(veo_jobs: DemoJobs, veo_url: str) -> AsyncIterator[Place]:
    """On the Gemini API."""
    provider = Veo(SecretStr(KEY), veo_url)
    yield Place(provider, veo_jobs, veo_url)
    await provider.close()


@pytest.fixture
async def vertex(veo_jobs: DemoJobs, veo_url: str) -> AsyncIterator[Place]:
    """With a project."""
    provider = Veo(base_url=veo_url, project="films", location="europe-west4", credentials=access(KEY))
    yield Place(provider, veo_jobs, veo_url)
    await provider.close()


@pytest.fixture
async def express(veo_jobs: DemoJobs, veo_url: str) -> AsyncIterator[Place]:
    """On Vertex AI with a key alone."""
    provider = Veo(SecretStr(KEY), veo_url, vertex=True)
    yield Place(provider, veo_jobs, veo_url)
    await provider.close()


@asynccontextmanager
async def cutting() -> AsyncIterator[tuple[str, list[str]]]:
    """A server that reads requests and closes the connection: its URL, and their lines and headers."""
    requests: list[str] = []

    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.close()

    async with await asyncio.start_server(cut, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", requests


def imports(module: str) -> set[str]:
    """What a process has loaded that has loaded it."""
    code = f"import sys, {module}; print(*sys.modules)"
    return set(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split())
