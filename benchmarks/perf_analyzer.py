"""NVIDIA's perf_analyzer over `generate`: many jobs in flight, straight to Triton.

`python -m benchmarks.perf_analyzer` (`make perf`) drives a server that runs; `requests.json` beside this file is the
`--input-data` for a perf_analyzer of one's own.

The binary of 2.51 comes inside the tritonclient 2.51.0 wheel, which is installed alone into a folder of its own; two
libraries that it needs are in the nvidia-pytriton wheel under other names.
"""

import json
import os
import shlex
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from benchmarks.prompts import prompt
from protocol.events import Failed, read_event

WHEEL = "tritonclient==2.51.0"
LIBRARIES = ("libb64.so.0d", "libcudart.so.12")
PROMPTS = 32
MODEL = "toy-wan-t2v"


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
    """The binary, installed into `folder` unless it is there. Raises RuntimeError where pip cannot."""
    binary = folder / "bin" / "perf_analyzer"
    if not binary.exists():
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder), WHEEL]
        if subprocess.run(pip, check=False).returncode != 0:
            raise RuntimeError(f"pip could not install {WHEEL}, which has perf_analyzer in it")
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


def run(binary: Path, url: str, model: str, concurrency: int, videos: int, folder: Path) -> Level:
    """Keep `concurrency` jobs in flight until `videos` are done.

    Args:
        url: host:port of Triton's gRPC.
        model: a served id.
        folder: where the requests and the raw report go.

    Raises:
        RuntimeError: it failed, or a job did.
    """
    data, report = folder / "requests.json", folder / f"perf_analyzer-{concurrency}.json"
    data.write_text(requests(model))
    report.unlink(missing_ok=True)  # perf_analyzer does not overwrite it
    arguments = command(binary, url, data, concurrency, videos, report)
    environment = os.environ | libraries(binary)
    done = subprocess.run(arguments, env=environment, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode != 0:
        reason = "\n".join(said.partition("Usage: ")[0].strip()[-2000:] for said in (done.stdout, done.stderr))
        raise RuntimeError(f"perf_analyzer failed:\n{reason.strip()}")
    return read_report(json.loads(report.read_text()), concurrency)


def libraries(binary: Path) -> dict[str, str]:
    """The environment in which the binary finds its libraries."""
    return {"LD_LIBRARY_PATH": str(binary.parent.parent)}


def command(binary: Path, url: str, data: Path, concurrency: int, videos: int, report: Path) -> list[str]:
    """How perf_analyzer is called for a decoupled model: over a stream, and with a count of requests, as no measurement
    of jobs that take seconds is ever stable enough for it."""
    return [
        *(str(binary), "-m", "generate", "-u", url, "-i", "grpc", "--async", "--streaming"),
        *("--input-data", str(data), "--concurrency-range", str(concurrency)),
        *("--request-count", str(videos), "--profile-export-file", str(report)),
    ]


def requests(model: str) -> str:
    """The inputs of `generate`, as perf_analyzer reads them from a file: a request a line."""
    lines = [
        json.dumps({"model": [model], "prompt": [prompt(i)], "sampling_parameters": [json.dumps({"seed": i})]})
        for i in range(PROMPTS)
    ]
    return '{"data": [\n' + ",\n".join(lines) + "\n]}\n"


def read_report(report: dict[str, Any], concurrency: int) -> Level:
    """perf_analyzer's own latency is that of the first response of a stream; the video is there with the last."""
    jobs = report["experiments"][0]["requests"]
    for job in jobs:
        _check(job)
    spans = [(job["timestamp"], job["response_timestamps"][-1]) for job in jobs]
    latencies = [(end - start) / 1e9 for start, end in spans]
    wall = (max(end for _, end in spans) - min(start for start, _ in spans)) / 1e9
    return Level(
        concurrency=concurrency,
        videos=len(spans),
        p50=float(np.percentile(latencies, 50)),
        p95=float(np.percentile(latencies, 95)),
        videos_per_second=len(spans) / wall,
    )


def _check(job: dict[str, Any]) -> None:
    """Raises RuntimeError where the job has failed: that is an event, which perf_analyzer takes for any other."""
    outputs = job.get("response_outputs") or [{}]
    event = read_event(outputs[-1]["event"]) if "event" in outputs[-1] else None
    if isinstance(event, Failed):
        raise RuntimeError(f"a job failed: {event.error().log_line}")


def main(
    url: Annotated[str, typer.Option(help="Triton's gRPC.")] = "127.0.0.1:8001",
    model: Annotated[str, typer.Option(help="A served id.")] = MODEL,
    concurrency: Annotated[int, typer.Option(min=1, help="Jobs in flight.")] = 4,
    videos: Annotated[int, typer.Option(min=1, help="Jobs to wait for.")] = 16,
    to: Annotated[Path, typer.Option(help="Folder for perf_analyzer, its requests and its report.")] = Path(
        "bench-results"
    ),
) -> None:
    """Drive `generate` on a server that runs with NVIDIA's perf_analyzer, and say how it is called."""
    to.mkdir(parents=True, exist_ok=True)
    data, report = to / "requests.json", to / f"perf_analyzer-{concurrency}.json"
    videos = max(videos, concurrency)  # perf_analyzer wants as many
    try:
        binary = install(to / "perf_analyzer")
        words = [f"{name}={value}" for name, value in libraries(binary).items()]
        words += command(binary, url, data, concurrency, videos, report)
        typer.echo(f"$ {shlex.join(words)}", err=True)
        level = run(binary, url, model, concurrency, videos, to)
    except RuntimeError as error:
        typer.echo(error, err=True)
        raise typer.Exit(1) from None
    typer.echo(
        f"{level.videos} jobs, {level.concurrency} in flight: {level.videos_per_second:.2f} a second, "
        f"p50 {level.p50:.3f} s, p95 {level.p95:.3f} s"
    )


if __name__ == "__main__":
    typer.run(main)
