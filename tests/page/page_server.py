"""The real frontend on a real socket, before a generator that does what a test says."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from frontend.app import create_app
from frontend.providers.registry import Registry
from frontend.settings import Settings
from protocol.lora import LoraInfo
from tests.frontend.conftest import NOWHERE, running, url_of
from tests.frontend.fake_generator import FakeGenerator
from tests.model_cards import image_to_video_card, model_card, text_or_image_to_video_card, text_to_image_card
from tests.waiting import SECONDS, wait_until


@dataclass(frozen=True)
class PageServer:
    """Where it is, and its generator."""

    url: str
    generator: FakeGenerator

    def make(self, prompt: str = "a red circle", kind: str = "videos", **fields: object) -> dict[str, Any]:
        """A completed job, as /v1/jobs tells it, made over HTTP."""
        return self.wait_for(self.ask(prompt, kind, **fields), "completed")

    def ask(self, prompt: str, kind: str = "videos", **fields: object) -> str:
        """The id of a job."""
        answer = httpx.post(
            f"{self.url}/v1/{kind}/generations",
            json={"prompt": prompt, **fields},
            headers={"Prefer": "respond-async"},
            timeout=SECONDS,
        )
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def wait_for(self, job_id: str, status: str) -> dict[str, Any]:
        wait_until(lambda: self.job(job_id)["status"] == status, what=status)
        return self.job(job_id)

    def job(self, job_id: str) -> dict[str, Any]:
        answer: dict[str, Any] = httpx.get(f"{self.url}/v1/jobs/{job_id}", timeout=SECONDS).raise_for_status().json()
        return answer

    def jobs(self, **query: str) -> list[dict[str, Any]]:
        answer = httpx.get(f"{self.url}/v1/jobs", params=query, timeout=SECONDS).raise_for_status()
        return list(answer.json()["data"])

    def clear(self) -> None:
        """Forget all jobs, and let those go on that were held."""
        for gate in (self.generator.step_gate, self.generator.previews_gate, self.generator.frames_gate):
            gate.set()
        self.generator.error_for = lambda params: None
        self.generator.previews = 0
        for job in self.jobs(limit="100"):
            httpx.delete(f"{self.url}/v1/jobs/{job['id']}", timeout=SECONDS)


@contextmanager
def page_server(folder: Path, registry: Registry | None = None, **settings: Any) -> Iterator[PageServer]:
    """A server of one model of each kind, and of an adapter."""
    cards = [model_card(), image_to_video_card(), text_or_image_to_video_card(), text_to_image_card()]
    generator = FakeGenerator(cards)
    generator.adapters = [LoraInfo(name="ink", rank=16, bytes=1000, models=("toy-wan-t2v",))]
    options = Settings(storage=str(folder / "files"), triton_metrics_url=NOWHERE, preview_seconds=0.1, **settings)
    with running(create_app(options, generator, registry)) as server:
        yield PageServer(url_of(server), generator)
