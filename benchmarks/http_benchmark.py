"""The served product over HTTP against diffusers in-process, in turns, on the same weights."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import httpx

from benchmarks.diffusers_worker import DiffusersWorker
from benchmarks.machine import Measured, clean, measured, memory_mib
from launcher.background import BackgroundServer
from pipelines.model_card import ModelCard

PROMPT = "a red circle moving right on a black background"
CONCURRENT = 4
WARM_UP = 3


@dataclass
class HttpResult:
    """Wall times in seconds; each list has one entry a round that was kept."""

    rounds: int
    steps: int
    """denoising steps of a clip"""
    lone: list[float] = field(default_factory=list)
    lone_diffusers: list[float] = field(default_factory=list)
    four: list[float] = field(default_factory=list)
    """four requests at once, until the last is answered"""
    four_diffusers: list[float] = field(default_factory=list)
    """four clips one after another"""
    breakdown: dict[str, float] = field(default_factory=dict)
    """median timings of a lone request"""
    overhead_per_step: float = 0.0
    """seconds of a denoising step that are not model execution, median of lone requests"""
    mean_step_batch: float = 0.0
    """rows a transformer call while four requests run"""
    server_mib: float = 0.0
    diffusers_mib: float = 0.0
    foreign_cores: float = 0.0
    """most that other programs took in a round that was kept"""


class HttpBenchmark:
    """Rounds of: one clip by diffusers, one over HTTP, four by diffusers, four over HTTP at once."""

    def __init__(self, server: BackgroundServer, worker: DiffusersWorker, card: ModelCard) -> None:
        self._server, self._worker, self._card = server, worker, card
        own = card.defaults
        self._reference = {
            "prompt": PROMPT,
            "width": own.width,
            "height": own.height,
            "num_frames": own.num_frames,
            "num_inference_steps": own.num_inference_steps,
            "guidance_scale": own.guidance_scale,
            "guidance_scale_2": own.guidance_scale_2,
        }
        self._client = httpx.Client(base_url=server.url, timeout=300)
        self._lone_timings: list[dict[str, float]] = []
        self._overheads: list[float] = []
        self._batches = self._rows = 0.0

    def run(self, rounds: int) -> HttpResult:
        for seed in range(WARM_UP):
            self._diffusers(seed)
            self._four(seed)
        self._lone_timings.clear()
        kept: dict[str, list[Measured]] = {"lone_diffusers": [], "lone": [], "four_diffusers": [], "four": []}
        server_mib = diffusers_mib = 0.0
        for seed in range(rounds):
            kept["lone_diffusers"].append(self._measure(self._diffusers, seed))
            kept["lone"].append(self._measure(self._lone, seed))
            kept["four_diffusers"].append(self._measure(self._four_diffusers, seed))
            kept["four"].append(self._measure(self._four, seed))
            server_mib = max(server_mib, memory_mib(self._server.processes()))
            diffusers_mib = max(diffusers_mib, memory_mib([self._worker.process]))
        used = {name: clean(all_rounds) for name, all_rounds in kept.items()}
        return HttpResult(
            rounds=rounds,
            steps=self._card.defaults.num_inference_steps,
            **{name: [each.seconds for each in those] for name, those in used.items()},
            breakdown={key: median(t[key] for t in self._lone_timings) for key in self._lone_timings[0]},
            overhead_per_step=median(self._overheads),
            mean_step_batch=self._rows / self._batches,
            server_mib=server_mib,
            diffusers_mib=diffusers_mib,
            foreign_cores=max(each.foreign_cores for those in used.values() for each in those),
        )

    def _measure(self, work: Callable[[int], None], seed: int) -> Measured:
        with measured([*self._server.processes(), self._worker.process]) as result:
            work(seed)
        return result

    def _diffusers(self, seed: int) -> None:
        self._worker.generate({**self._reference, "seed": seed})

    def _four_diffusers(self, seed: int) -> None:
        for i in range(CONCURRENT):
            self._diffusers(seed + i)

    def _post(self, seed: int) -> dict[str, Any]:
        response = self._client.post("/v1/videos/generations", json={"prompt": PROMPT, "seed": seed})
        response.raise_for_status()
        body: dict[str, Any] = response.json()
        return body

    def _lone(self, seed: int) -> None:
        busy = self._transformer_seconds()
        started = time.perf_counter()
        timings = self._post(seed)["data"][0]["timings"]
        timings["http_seconds"] = time.perf_counter() - started
        busy = self._transformer_seconds() - busy
        self._lone_timings.append(timings)
        self._overheads.append((timings["denoise_seconds"] - busy) / self._card.defaults.num_inference_steps)

    def _four(self, seed: int) -> None:
        rows, batches = (self._server.metric(f"step_batch_size_{part}") for part in ("sum", "count"))
        with ThreadPoolExecutor(CONCURRENT) as threads:
            list(threads.map(self._post, range(seed, seed + CONCURRENT)))
        self._rows += self._server.metric("step_batch_size_sum") - rows
        self._batches += self._server.metric("step_batch_size_count") - batches

    def _transformer_seconds(self) -> float:
        components = self._card.components
        models = [model for model in (components.transformer, components.transformer_2) if model]
        return sum(self._server.metric("model_execution_seconds_total", model=model) for model in models)


def run_http(server: BackgroundServer, checkpoint: Path, card: ModelCard, rounds: int) -> HttpResult:
    with DiffusersWorker(checkpoint) as worker:
        return HttpBenchmark(server, worker, card).run(rounds)
