"""The served product over HTTP against diffusers in-process, in turns, on the same weights."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import httpx

from benchmarks.diffusers_worker import DiffusersWorker
from benchmarks.machine import FOREIGN_CORES_ALLOWED, ForeignCpu, memory_mib
from benchmarks.prompts import prompt
from launcher.background import BackgroundServer
from protocol.model_card import ModelCard

CONCURRENT = 4
WARM_UP_ROUNDS = 2


@dataclass(frozen=True)
class LoneRequest:
    """A request that had the server to itself. Seconds."""

    wall: float
    """as the client sees it"""
    timings: dict[str, float]
    """as the response reports them"""
    transformer: float
    """of the denoising, spent inside ONNX Runtime"""


@dataclass(frozen=True)
class Round:
    """One video by diffusers, one over HTTP, four by diffusers in turn, four over HTTP at once. Seconds."""

    diffusers_lone: float
    lone: LoneRequest
    diffusers_four: float
    four: float
    batches: float
    """transformer calls for the four"""
    rows: float
    """rows of those calls"""
    foreign_cores: float


@dataclass(frozen=True)
class HttpResult:
    """The rounds that count, and the memory that both sides came to."""

    rounds: tuple[Round, ...]
    dropped: int
    """rounds that other programs disturbed"""
    steps: int
    """denoising steps of a video"""
    server_mib: float
    diffusers_mib: float

    @property
    def overhead_per_step(self) -> float:
        """Seconds of a denoising step that are not model execution."""
        return median(r.lone.timings["denoise_seconds"] - r.lone.transformer for r in self.rounds) / self.steps

    @property
    def mean_step_batch(self) -> float:
        """Rows of a transformer call while four requests run."""
        return sum(r.rows for r in self.rounds) / sum(r.batches for r in self.rounds)


class HttpBenchmark:
    """Plays rounds; every video has a prompt and a seed of its own, the same on both sides."""

    def __init__(self, server: BackgroundServer, worker: DiffusersWorker, card: ModelCard) -> None:
        self._server, self._worker, self._card = server, worker, card
        self._client = httpx.Client(base_url=server.url, timeout=300)
        self._number = 0

    def run(self, rounds: int) -> HttpResult:
        for _ in range(WARM_UP_ROUNDS):
            self._round()
        played, server_mib, diffusers_mib = [], 0.0, 0.0
        for _ in range(rounds):
            played.append(self._round())
            server_mib = max(server_mib, memory_mib(self._server.processes()))
            diffusers_mib = max(diffusers_mib, memory_mib([self._worker.process]))
        kept = keep_undisturbed(played)
        return HttpResult(
            rounds=tuple(kept),
            dropped=rounds - len(kept),
            steps=self._card.defaults.num_inference_steps,
            server_mib=server_mib,
            diffusers_mib=diffusers_mib,
        )

    def _round(self) -> Round:
        lone, *four = range(self._number, self._number + 1 + CONCURRENT)
        self._number += 1 + CONCURRENT
        with ForeignCpu([*self._server.processes(), self._worker.process]) as foreign:
            diffusers_lone = self._diffusers(lone)
            lone_request = self._lone(lone)
            diffusers_four = sum(self._diffusers(number) for number in four)
            before = self._batches()
            four_seconds = self._at_once(four)
            batches, rows = (now - then for now, then in zip(self._batches(), before, strict=True))
        return Round(diffusers_lone, lone_request, diffusers_four, four_seconds, batches, rows, foreign.cores)

    def _diffusers(self, number: int) -> float:
        own = self._card.defaults
        return self._worker.generate(
            {
                "prompt": prompt(number),
                "seed": number,
                "width": own.width,
                "height": own.height,
                "num_frames": own.num_frames,
                "num_inference_steps": own.num_inference_steps,
                "guidance_scale": own.guidance_scale,
                "guidance_scale_2": own.guidance_scale_2,
                "max_sequence_length": self._card.max_sequence_length,
            }
        )

    def _post(self, number: int) -> dict[str, Any]:
        response = self._client.post("/v1/videos/generations", json={"prompt": prompt(number), "seed": number})
        response.raise_for_status()
        video: dict[str, Any] = response.json()["data"][0]
        return video

    def _lone(self, number: int) -> LoneRequest:
        busy = self._transformer_seconds()
        started = time.perf_counter()
        video = self._post(number)
        wall = time.perf_counter() - started
        return LoneRequest(wall, video["timings"], self._transformer_seconds() - busy)

    def _at_once(self, numbers: list[int]) -> float:
        started = time.perf_counter()
        with ThreadPoolExecutor(CONCURRENT) as threads:
            list(threads.map(self._post, numbers))
        return time.perf_counter() - started

    def _batches(self) -> tuple[float, float]:
        return self._server.metric("step_batch_size_count"), self._server.metric("step_batch_size_sum")

    def _transformer_seconds(self) -> float:
        components = self._card.components
        models = [model for model in (components.transformer, components.transformer_2) if model]
        return sum(self._server.metric("model_execution_seconds_total", model=model) for model in models)


def keep_undisturbed(rounds: list[Round]) -> list[Round]:
    """The rounds in which other programs were quiet; all of them when fewer than three are left."""
    kept = [each for each in rounds if each.foreign_cores <= FOREIGN_CORES_ALLOWED]
    return kept if len(kept) >= 3 else rounds


def run_http(server: BackgroundServer, checkpoint: Path, card: ModelCard, rounds: int) -> HttpResult:
    with DiffusersWorker(checkpoint) as worker:
        return HttpBenchmark(server, worker, card).run(rounds)
