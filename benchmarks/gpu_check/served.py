"""A server with a toy, asked over HTTP."""

import time
from pathlib import Path
from statistics import median
from typing import Any

import httpx

from benchmarks.gpu_check.device import Found
from benchmarks.gpu_check.prepared import PROMPT, SEED
from launcher.background import BackgroundServer

_REQUESTS = 5
_ROUTES = {"text-to-video": "/v1/videos/generations", "text-to-image": "/v1/images/generations"}
_TIMEOUT_SECONDS = 60.0


def measure(repository: Path, run_dir: Path, device: str) -> Found:
    """Start it, ask for the same thing several times, and stop it. Seconds, as the client sees them."""
    started = time.perf_counter()
    with BackgroundServer(repository, run_dir, "--device", device) as server:
        found: Found = {"seconds_until_ready": time.perf_counter() - started}
        (model,) = httpx.get(f"{server.url}/v1/models").raise_for_status().json()["data"]
        routes = [route for task, route in _ROUTES.items() if task in model["tasks"]]
        if not routes:  # it needs an image
            return found
        taken, answers = zip(*(_ask(server.url + routes[0]) for _ in range(_REQUESTS)), strict=True)
    found["seconds_first_request"] = taken[0]
    found["seconds"] = median(taken[1:])
    found["seconds_denoising"] = median(answer["timings"]["denoise_seconds"] for answer in answers[1:])
    return found


def _ask(url: str) -> tuple[float, dict[str, Any]]:
    """The seconds that it took, and the answer."""
    started = time.perf_counter()
    response = httpx.post(url, json={"prompt": PROMPT, "seed": SEED}, timeout=_TIMEOUT_SECONDS)
    taken = time.perf_counter() - started
    answer: dict[str, Any] = response.raise_for_status().json()
    assert answer["data"][0]["b64_json"]
    return taken, answer
