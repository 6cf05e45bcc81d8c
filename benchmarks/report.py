"""The benchmark's figures as Markdown."""

from dataclasses import dataclass

import numpy as np

from benchmarks.http_benchmark import CONCURRENT, HttpResult
from benchmarks.machine import FOREIGN_CORES_ALLOWED
from benchmarks.perf_analyzer import Level


@dataclass(frozen=True)
class Goal:
    """A figure, and what it should be."""

    what: str
    figure: float
    limit: float
    at_most: bool
    unit: str = ""

    @property
    def is_met(self) -> bool:
        return self.figure <= self.limit if self.at_most else self.figure >= self.limit

    def row(self) -> str:
        limit = f"{'at most' if self.at_most else 'at least'} {self.limit:g}{self.unit}"
        return f"| {self.what} | {self.figure:.2f}{self.unit} | {limit} | {'met' if self.is_met else '**missed**'} |"


def http_goals(result: HttpResult) -> list[Goal]:
    lone = _p(result.lone, 50) / _p(result.lone_diffusers, 50)
    four = _p(result.four_diffusers, 50) / _p(result.four, 50)
    overhead = result.overhead_per_step * 1000
    return [
        Goal("one request, wall time relative to diffusers", lone, 0.7, at_most=True, unit="x"),
        Goal("four requests at once, clips/s relative to diffusers", four, 2.0, at_most=False, unit="x"),
        Goal("serving overhead of a denoising step", overhead, 5.0, at_most=True, unit=" ms"),
    ]


def memory_goal(short_mib: float, long_mib: float) -> Goal:
    ratio = long_mib / short_mib
    return Goal("peak memory of decoding 161 frames relative to 41", ratio, 1.2, at_most=True, unit="x")


def goals_table(goals: list[Goal]) -> str:
    return "\n".join(["| figure | measured | goal | |", "|---|---|---|---|", *(goal.row() for goal in goals)])


def http_table(result: HttpResult) -> str:
    """Latency, throughput and memory of both sides, and where a lone request spends its time."""
    rows = [
        "| | p50 s | p95 s | clips/s | steps/s | MiB |",
        "|---|---|---|---|---|---|",
        _http_row("diffusers, one clip", result.lone_diffusers, 1, result.steps, result.diffusers_mib),
        _http_row("HTTP, one request", result.lone, 1, result.steps, result.server_mib),
        _http_row("diffusers, four in turn", result.four_diffusers, CONCURRENT, result.steps, result.diffusers_mib),
        _http_row("HTTP, four at once", result.four, CONCURRENT, result.steps, result.server_mib),
    ]
    spent = ", ".join(f"{name.removesuffix('_seconds')} {s * 1000:.1f}" for name, s in result.breakdown.items())
    notes = (
        f"Mean step batch with four requests: {result.mean_step_batch:.1f} rows. "
        f"Median milliseconds of one request: {spent}. "
        f"Rounds kept: {len(result.lone)} of {result.rounds}; other programs took at most "
        f"{result.foreign_cores:.2f} cores in them."
    )
    if result.foreign_cores > FOREIGN_CORES_ALLOWED:
        notes += " **The machine was busy: these figures do not count.**"
    return "\n".join([*rows, "", notes])


def perf_analyzer_table(levels: list[Level], frames: int) -> str:
    rows = [
        f"| {level.concurrency} | {level.clips} | {level.p50:.3f} | {level.p95:.3f} "
        f"| {level.clips_per_second:.2f} | {level.clips_per_second * frames:.1f} |"
        for level in levels
    ]
    return "\n".join(
        ["| jobs in flight | clips | p50 s | p95 s | clips/s | frames/s |", "|---|---|---|---|---|---|", *rows]
    )


def _http_row(what: str, seconds: list[float], clips: int, steps: int, mib: float) -> str:
    rate = clips / _p(seconds, 50)
    return f"| {what} | {_p(seconds, 50):.3f} | {_p(seconds, 95):.3f} | {rate:.2f} | {rate * steps:.0f} | {mib:.0f} |"


def _p(values: list[float], percent: float) -> float:
    return float(np.percentile(values, percent))
