"""The HTTP API against diffusers' own pipeline: same weights, prompts and seeds, in turns."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any

import httpx

from benchmarks.clips import Clip, clips
from benchmarks.errors import ServerFailed
from benchmarks.noise import FOREIGN_LIMIT, ForeignCpu
from benchmarks.process_tree import PeakMemory
from benchmarks.progress import Say
from benchmarks.samples import Samples
from benchmarks.server import Server
from benchmarks.triton_metrics import Metrics, read_metrics
from benchmarks.worker import Worker
from pipelines.model_card import ModelCard

CONCURRENT = 4
PHASES = ("queue_seconds", "text_seconds", "denoise_seconds", "decode_seconds")
"""of a job, as the response reports them"""
_SETTLE_SECONDS = 0.05
"""between measurements: threads of the one side still spin for some milliseconds after its work is done"""
_ENOUGH_ROUNDS = 3
_TIMEOUT_SECONDS = 600.0


@dataclass(frozen=True)
class Plan:
    """How much to measure. A round is `lone_clips` clips of each side alone, then CONCURRENT clips of each."""

    rounds: int
    """clean ones"""
    most_rounds: int
    """clean or not"""
    lone_clips: int


@dataclass(frozen=True)
class LoneClip:
    """A request that had the server for itself."""

    seconds: float
    """as the client sees it"""
    phases: dict[str, float]
    transformer_seconds: float
    """inside ONNX Runtime"""

    @property
    def rest_seconds(self) -> float:
        """What is in no phase: HTTP, gRPC, the end of the H.264 encoding."""
        return self.seconds - sum(self.phases.values())


@dataclass(frozen=True)
class Round:
    reference_alone: tuple[float, ...]
    """seconds a clip"""
    served_alone: tuple[LoneClip, ...]
    reference_in_turn: float
    """seconds for CONCURRENT clips one after another"""
    served_together: float
    """seconds for CONCURRENT requests at the same time"""
    together: Metrics
    """what grew while they were served together"""
    foreign_cpu: float


@dataclass(frozen=True)
class Result:
    rounds: tuple[Round, ...]
    """those that count"""
    rounds_made: int
    steps: int
    """denoising steps a clip"""
    frames: int
    """a clip"""
    served_peak_bytes: int
    reference_peak_bytes: int

    @property
    def is_noisy(self) -> bool:
        """Too few rounds were clean, so those that were not count too."""
        return any(round.foreign_cpu > FOREIGN_LIMIT for round in self.rounds)

    @property
    def reference_latency(self) -> Samples:
        return Samples(seconds for round in self.rounds for seconds in round.reference_alone)

    @property
    def served_latency(self) -> Samples:
        return Samples(clip.seconds for clip in self.lone)

    @property
    def lone(self) -> list[LoneClip]:
        return [clip for round in self.rounds for clip in round.served_alone]

    @property
    def reference_rate(self) -> float:
        """Clips a second, one after another."""
        return CONCURRENT / Samples(round.reference_in_turn for round in self.rounds).p50

    @property
    def served_rate(self) -> float:
        """Clips a second, CONCURRENT at a time."""
        return CONCURRENT / Samples(round.served_together for round in self.rounds).p50

    @property
    def latency_ratio(self) -> float:
        """Served over reference, median."""
        return self.served_latency.p50 / self.reference_latency.p50

    @property
    def rate_ratio(self) -> float:
        """Served over reference: the median of the rounds' ratios."""
        return Samples(round.reference_in_turn / round.served_together for round in self.rounds).p50

    @property
    def step_batch(self) -> float:
        """Mean rows of a transformer call while CONCURRENT requests are served."""
        together = Metrics({})
        for round in self.rounds:
            together = together.plus(round.together)
        return together.mean("step_batch_size")

    @property
    def step_overhead(self) -> Samples:
        """Seconds a denoising step that are not spent in the transformer."""
        return Samples((clip.phases["denoise_seconds"] - clip.transformer_seconds) / self.steps for clip in self.lone)


class Client:
    """Makes clips over HTTP and reads Triton's metrics."""

    def __init__(self, server: Server, card: ModelCard, http: httpx.Client) -> None:
        self._url = f"{server.url}/v1/videos/generations"
        self._metrics_url = server.metrics_url
        self._http = http
        parts = card.components
        self._transformers = [name for name in (parts.transformer, parts.transformer_2) if name is not None]

    def make(self, clip: Clip) -> tuple[float, dict[str, Any]]:
        """Seconds until the answer was here and read, and the answer."""
        started = time.perf_counter()
        response = self._http.post(self._url, json={"prompt": clip.prompt, "seed": clip.seed})
        if response.status_code != httpx.codes.OK:
            raise ServerFailed(f"POST {self._url}: status {response.status_code}: {response.text}")
        answer: dict[str, Any] = response.json()
        return time.perf_counter() - started, answer

    def make_alone(self, clip: Clip) -> LoneClip:
        before = self.metrics()
        seconds, answer = self.make(clip)
        grown = self.metrics().since(before)
        timings = answer["data"][0]["timings"]
        return LoneClip(
            seconds=seconds,
            phases={phase: timings[phase] for phase in PHASES},
            transformer_seconds=sum(
                grown.value("model_execution_seconds_total", model=name) for name in self._transformers
            ),
        )

    def make_together(self, chosen: list[Clip]) -> float:
        """Seconds until the last of them was here."""
        with ThreadPoolExecutor(len(chosen)) as pool:
            started = time.perf_counter()
            for _ in pool.map(self.make, chosen):
                pass
            return time.perf_counter() - started

    def metrics(self) -> Metrics:
        return read_metrics(self._http, self._metrics_url)


class Reference:
    """Makes the same clips with diffusers, by the card's defaults."""

    def __init__(self, worker: Worker, card: ModelCard) -> None:
        self._worker = worker
        own = card.defaults
        self._arguments = {
            "negative_prompt": own.negative_prompt,
            "width": own.width,
            "height": own.height,
            "num_frames": own.num_frames,
            "num_inference_steps": own.num_inference_steps,
            "guidance_scale": own.guidance_scale,
            "guidance_scale_2": own.guidance_scale_2,
        }

    def make(self, clip: Clip, save_to: str | None = None) -> float:
        """Seconds inside the process that makes it, until the frames are float32 in 0..1."""
        answer = self._worker.ask(prompt=clip.prompt, seed=clip.seed, save_to=save_to, **self._arguments)
        return float(answer["seconds"])

    def make_in_turn(self, chosen: list[Clip]) -> float:
        return sum(self.make(clip) for clip in chosen)


def measure(server: Server, worker: Worker, card: ModelCard, plan: Plan, say: Say) -> Result:
    """Warm up, measure rounds until enough are clean, then sample memory in clips that are not timed."""
    source = clips()
    with httpx.Client(trust_env=False, timeout=_TIMEOUT_SECONDS) as http:
        client, reference = Client(server, card, http), Reference(worker, card)
        _one_round(client, reference, source, plan.lone_clips, reference_first=True)
        made: list[Round] = []
        while len(_clean(made)) < plan.rounds and len(made) < plan.most_rounds:
            made.append(_one_round(client, reference, source, plan.lone_clips, reference_first=len(made) % 2 == 0))
            say(_line(len(made), made[-1]))
        served_peak = _peak_memory(server.pid, lambda: client.make_together(_next(source, CONCURRENT)))
        reference_peak = _peak_memory(worker.pid, lambda: reference.make_in_turn(_next(source, 2)))
    clean = _clean(made)
    kept = clean if len(clean) >= min(_ENOUGH_ROUNDS, plan.rounds) else made
    own = card.defaults
    return Result(tuple(kept), len(made), own.num_inference_steps, own.num_frames, served_peak, reference_peak)


def _one_round(
    client: Client, reference: Reference, source: Iterator[Clip], lone_clips: int, reference_first: bool
) -> Round:
    """Sides in turns, each time with the same clips for both; who begins changes from round to round."""
    reference_alone, served_alone = [], []
    with ForeignCpu() as foreign:
        for clip in _next(source, lone_clips):
            alone, lone = _both(lambda c=clip: reference.make(c), lambda c=clip: client.make_alone(c), reference_first)
            reference_alone.append(alone)
            served_alone.append(lone)
        chosen = _next(source, CONCURRENT)
        before = client.metrics()
        in_turn, together = _both(
            lambda: reference.make_in_turn(chosen), lambda: client.make_together(chosen), reference_first
        )
        grown = client.metrics().since(before)
    return Round(tuple(reference_alone), tuple(served_alone), in_turn, together, grown, foreign.share)


def _both[A, B](first: Callable[[], A], second: Callable[[], B], in_order: bool) -> tuple[A, B]: ...


def _next(source: Iterator[Clip], count: int) -> list[Clip]:
    return list(islice(source, count))


def _clean(rounds: list[Round]) -> list[Round]:
    return [round for round in rounds if round.foreign_cpu <= FOREIGN_LIMIT]


def _peak_memory(pid: int, work: Callable[[], object]) -> int:
    with PeakMemory(pid) as peak:
        work()
    return peak.bytes


def _line(number: int, measured: Round) -> str:
    served, reference = Samples(clip.seconds for clip in measured.served_alone), Samples(measured.reference_alone)
    return (
        f"round {number}: alone {served.p50:.3f} s against {reference.p50:.3f} s, {CONCURRENT} clips "
        f"{measured.served_together:.2f} s against {measured.reference_in_turn:.2f} s, "
        f"foreign CPU {measured.foreign_cpu:.0%}"
    )
