"""NVIDIA's perf_analyzer over `generate`: many jobs in flight, straight to Triton.

The binary of 2.51 comes inside the tritonclient 2.51.0 wheel, which is installed alone into a folder of its own; two
libraries that it needs are in the nvidia-pytriton wheel under other names.
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.prompts import prompt

WHEEL = "tritonclient==2.51.0"
LIBRARIES = ("libb64.so.0d", "libcudart.so.12")
PROMPTS = 32


@dataclass(frozen=True)
class Level:
    """One concurrency."""

    concurrency: int
    videos: int
    p50: float
    """seconds from request to last response"""
    p95: float
    videos_per_second: float


def install(folder: Path) -> Path:
    """The binary, installed into `folder` unless it is there."""
    binary = folder / "bin" / "perf_analyzer"
    if not binary.exists():
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder), WHEEL]
        subprocess.run(pip, check=True)
    spec = find_spec("pytriton")
    assert spec is not None
    assert spec.origin is not None
    wheel_libraries = Path(spec.origin).parent.parent / "nvidia_pytriton.libs"
    for name in LIBRARIES:
        stem, suffix = name.split(".so.")
        link = folder / name
        if not link.exists():
            link.symlink_to(next(wheel_libraries.glob(f"{stem}-*.so.{suffix}*")))
    return binary


def run(binary: Path, url: str, concurrency: int, videos: int, folder: Path) -> Level:
    """Keep `concurrency` jobs in flight until `videos` are done.

    Args:
        url: host:port of Triton's gRPC.
        folder: where the raw report goes.
    """
    prompts, report = folder / "prompts.json", folder / f"perf_analyzer-{concurrency}.json"
    prompts.write_text(json.dumps({"data": [request(i) for i in range(PROMPTS)]}))
    report.unlink(missing_ok=True)  # perf_analyzer does not overwrite it
    command = [
        *(str(binary), "-m", "generate", "-u", url, "-i", "grpc", "--async", "--streaming"),
        *("--input-data", str(prompts), "--concurrency-range", str(concurrency)),
        *("--request-count", str(videos), "--profile-export-file", str(report)),
    ]
    environment = os.environ | {"LD_LIBRARY_PATH": str(binary.parent.parent)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"perf_analyzer failed:\n{done.stdout[-2000:]}\n{done.stderr[:2000]}")
    return read_report(json.loads(report.read_text()), concurrency)


def request(number: int) -> dict[str, list[str]]:
    """The inputs of `generate`, as perf_analyzer reads them."""
    return {"prompt": [prompt(number)], "sampling_parameters": [json.dumps({"seed": number})]}


def read_report(report: dict[str, Any], concurrency: int) -> Level:
    """perf_analyzer's own latency is that of the first response of a stream; the video is there with the last."""
    requests = report["experiments"][0]["requests"]
    spans = [(request["timestamp"], request["response_timestamps"][-1]) for request in requests]
    latencies = [(end - start) / 1e9 for start, end in spans]
    wall = (max(end for _, end in spans) - min(start for start, _ in spans)) / 1e9
    return Level(
        concurrency=concurrency,
        videos=len(spans),
        p50=float(np.percentile(latencies, 50)),
        p95=float(np.percentile(latencies, 95)),
        videos_per_second=len(spans) / wall,
    )
