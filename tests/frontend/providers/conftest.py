"""Engines whose provider is a demonstration server on a real socket."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field

import pytest
from pydantic import SecretStr

from frontend.providers import engine
from frontend.providers.demo import klingai as demo_klingai
from frontend.providers.demo import wavespeed as demo_wavespeed
from frontend.providers.demo.jobs import DemoJobs
from frontend.providers.demo.server import serving
from frontend.providers.engine import Engine
from frontend.providers.klingai import KlingAI
from frontend.providers.provider import Prediction, Provider
from frontend.providers.wavespeed import WaveSpeed

KEY = "the-key-of-the-demo"
KLING_ACCESS, KLING_SECRET = "the-access-key-of-the-demo", "the-secret-key-of-the-demo-which-is-long"


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

    provider: Provider
    jobs: DemoJobs
    url: str
    told: Told = field(default_factory=Told)

    def engine(self, deadline_seconds: float = 60.0) -> Engine:
        return Engine(self.provider, deadline_seconds, poll_seconds=0.02)


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
