"""Triton's own load generator, `perf_analyzer`, over the model `generate`."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import httpx

from benchmarks.clips import clips
from benchmarks.errors import NotReady, WorkerFailed
from benchmarks.noise import FOREIGN_LIMIT, ForeignCpu
from benchmarks.progress import Say
from benchmarks.samples import Samples
from benchmarks.server import Server
from benchmarks.triton_metrics import Metrics, read_metrics
from launcher.triton_install import find_triton_install

WHEEL = "tritonclient==2.51.0"
"""the last whose binary runs with glibc 2.35 and without CUDA; the library that the product uses is newer"""

_LIBRARIES = {"libb64.so.0d": "libb64-*.so.0d", "libcudart.so.12": "libcudart-*.so.12*"}
"""what the binary loads, and its name in the nvidia-pytriton wheel"""
_INPUT_ROWS = 48
_RUN_SECONDS = 600.0
_ATTEMPTS = 3


@dataclass(frozen=True)
class Plan:
    """How much to measure."""

    concurrencies: tuple[int, ...]
    clips: int
    """clips a concurrency, at least"""
    waves: int
    """clips a concurrency, in multiples of it, at least"""

    def request_count(self, concurrency: int) -> int:
        return max(self.clips, self.waves * concurrency)


@dataclass(frozen=True)
class Profile:
    """What perf_analyzer wrote down about one run."""

    latencies: Samples
    """seconds from a request to its last response"""
    span: float
    """seconds from the first request to the last response"""
    steps: int
    frames: int
    """of all clips together"""


@dataclass(frozen=True)
class Level:
    """One concurrency."""

    concurrency: int
    profile: Profile
    step_batch: float
    """mean rows of a transformer call, warm-up included"""
    foreign_cpu: float

    @property
    def clips_per_second(self) -> float:
        return len(self.profile.latencies) / self.profile.span

    @property
    def frames_per_second(self) -> float:
        return self.profile.frames / self.profile.span

    @property
    def steps_per_second(self) -> float:
        return self.profile.steps / self.profile.span


class PerfAnalyzer:
    """The binary from the wheel, installed without its dependencies into `folder` the first time."""

    def __init__(self, folder: Path) -> None:
        self._binary = folder / "wheel" / "bin" / "perf_analyzer"
        self._libraries = folder / "lib"
        if not self._binary.exists():
            _install_wheel(folder / "wheel")
        _link_libraries(self._libraries)

    def run(self, grpc: str, concurrency: int, request_count: int, scratch: Path) -> Profile:
        """Keep `concurrency` clips in flight over one gRPC stream until `request_count` are made.

        Args:
            grpc: host:port.
            scratch: an existing folder for its input and output.
        """
        data, export = scratch / "clips.json", scratch / "profile.json"
        data.write_text(json.dumps(input_data(_INPUT_ROWS)))
        command = [str(self._binary), "-m", "generate", "-u", grpc, "-i", "grpc", "--async", "--streaming"]
        command += ["--input-data", str(data), "--concurrency-range", str(concurrency)]
        # Counted, because a search for stable windows needs windows of many clips.
        command += ["--request-count", str(request_count), "--warmup-request-count", str(concurrency)]
        command += ["--profile-export-file", str(export)]
        environment = os.environ | {"LD_LIBRARY_PATH": str(self._libraries)}
        try:
            done = subprocess.run(
                command, env=environment, capture_output=True, text=True, timeout=_RUN_SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            raise WorkerFailed(f"perf_analyzer was not done after {_RUN_SECONDS:.0f} s") from None
        if done.returncode != 0:
            raise WorkerFailed(f"perf_analyzer ended with status {done.returncode}:\n{done.stdout}{done.stderr}")
        profile = read_profile(json.loads(export.read_text()))
        if len(profile.latencies) != request_count:
            raise WorkerFailed(f"perf_analyzer made {len(profile.latencies)} of {request_count} clips:\n{done.stdout}")
        return profile


def measure(server: Server, analyzer: PerfAnalyzer, plan: Plan, scratch: Path, say: Say) -> list[Level]:
    """One level a concurrency. A level that others disturbed is measured again, a few times."""
    levels = []
    with httpx.Client(trust_env=False) as client:
        for concurrency in plan.concurrencies:
            for _ in range(_ATTEMPTS):
                before = read_metrics(client, server.metrics_url)
                with ForeignCpu() as foreign:
                    profile = analyzer.run(server.grpc, concurrency, plan.request_count(concurrency), scratch)
                grown: Metrics = read_metrics(client, server.metrics_url).since(before)
                level = Level(concurrency, profile, grown.mean("step_batch_size"), foreign.share)
                say(f"perf_analyzer, concurrency {concurrency}: {level.clips_per_second:.2f} clips/s")
                if foreign.share <= FOREIGN_LIMIT:
                    break
            levels.append(level)
    return levels


def input_data(rows: int) -> dict[str, Any]:
    """perf_analyzer's `--input-data`; it goes through the rows again and again."""
    return {"data": [{"prompt": [clip.prompt], "seed": [clip.seed]} for clip in islice(clips(), rows)]}


def read_profile(export: dict[str, Any]) -> Profile:
    """Read what `--profile-export-file` wrote about one concurrency.

    Times are nanoseconds. The last response of a clip carries its final `progress`: [steps done, steps, frames done,
    frames].
    """
    requests = export["experiments"][0]["requests"]
    if not all(request["response_timestamps"] for request in requests):
        raise WorkerFailed("perf_analyzer: a request had no response")
    progress = [request["response_outputs"][-1]["progress"] for request in requests]
    if any(len(counts) != 4 or counts[2] != counts[3] for counts in progress):
        raise WorkerFailed("perf_analyzer: a clip ended before its last frame")
    starts = [request["timestamp"] for request in requests]
    ends = [request["response_timestamps"][-1] for request in requests]
    return Profile(
        latencies=Samples((end - start) / 1e9 for start, end in zip(starts, ends, strict=True)),
        span=(max(ends) - min(starts)) / 1e9,
        steps=sum(counts[1] for counts in progress),
        frames=sum(counts[3] for counts in progress),
    )


def _install_wheel(into: Path) -> None:
    """Install beside its place and rename, so that an interrupted installation is not taken for a whole one."""
    partial = into.with_name("partial")
    shutil.rmtree(partial, ignore_errors=True)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(partial), WHEEL]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0 or not (partial / "bin" / "perf_analyzer").exists():
        raise NotReady(
            f"perf_analyzer could not be installed from the {WHEEL} wheel:\n{done.stderr.strip()}\n"
            "Leave this part out with: --only http --only memory"
        )
    shutil.rmtree(into, ignore_errors=True)
    partial.rename(into)


def _link_libraries(folder: Path) -> None:
    wheel = next(path for path in find_triton_install().library_path if path.name == "nvidia_pytriton.libs")
    folder.mkdir(parents=True, exist_ok=True)
    for name, pattern in _LIBRARIES.items():
        link = folder / name
        link.unlink(missing_ok=True)
        link.symlink_to(next(wheel.glob(pattern)))
