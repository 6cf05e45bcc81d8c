"""The two sides of the comparison: the served product over HTTP, and diffusers in its own process."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from benchmarks.clips import Clip
from benchmarks.errors import ServerFailed
from benchmarks.server import Server
from benchmarks.triton_metrics import Metrics, read_metrics
from benchmarks.worker import Worker
from pipelines.model_card import ModelCard

PHASES = ("queue", "text", "denoise", "decode")
"""of a job, as the response's timings name them"""


@dataclass(frozen=True)
class LoneClip:
    """A request that had the server for itself."""

    seconds: float
    """as the client sees it"""
    phases: dict[str, float]
    """seconds, by PHASES"""
    transformer_seconds: float
    """inside ONNX Runtime"""

    @property
    def rest_seconds(self) -> float:
        """What is in no phase: HTTP, gRPC, the end of the H.264 encoding."""
        return self.seconds - sum(self.phases.values())


class Served:
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
            phases={phase: timings[f"{phase}_seconds"] for phase in PHASES},
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

    def make(self, clip: Clip, save_to: Path | None = None) -> float:
        """Seconds inside the process that makes it, until the frames are float32 in 0..1."""
        path = str(save_to) if save_to is not None else None
        answer = self._worker.ask(prompt=clip.prompt, seed=clip.seed, save_to=path, **self._arguments)
        return float(answer["seconds"])

    def make_in_turn(self, chosen: list[Clip]) -> float:
        return sum(self.make(clip) for clip in chosen)
