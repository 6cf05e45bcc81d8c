"""The benchmark's figures as Markdown."""

from dataclasses import dataclass
from statistics import median

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
    """Ratios of the two sides of one round, the median over the rounds."""
    lone = median(r.lone.wall / r.diffusers_lone for r in result.rounds)
    four = median(r.diffusers_four / r.four for r in result.rounds)
    overhead = result.overhead_per_step * 1000
    return [
        Goal("one request, wall time relative to diffusers", lone, 0.7, at_most=True, unit="x"),
        Goal("four requests at once, videos/s relative to diffusers", four, 2.0, at_most=False, unit="x"),
        Goal("serving overhead of a denoising step", overhead, 5.0, at_most=True, unit=" ms"),
    ]


def memory_goal(short_mib: float, long_mib: float) -> Goal:
    ratio = long_mib / short_mib
    return Goal("peak memory of decoding 161 frames relative to 41", ratio, 1.2, at_most=True, unit="x")


def fairness_goal(steps: float) -> Goal:
    return Goal("a 64x64 video beside one of 832x480, in steps of the latter", steps, 1.5, at_most=True)


def goals_table(goals: list[Goal]) -> str:
    return "\n".join(["| figure | measured | goal | |", "|---|---|---|---|", *(goal.row() for goal in goals)])


def http_table(result: HttpResult) -> str:
    """Latency, throughput and memory of both sides, and where a lone request spends its time."""
    rounds, steps = result.rounds, result.steps
    rows = [
        "| | p50 s | p95 s | videos/s | steps/s | MiB |",
        "|---|---|---|---|---|---|",
        _row("diffusers, one video", [r.diffusers_lone for r in rounds], 1, steps, result.diffusers_mib),
        _row("HTTP, one request", [r.lone.wall for r in rounds], 1, steps, result.server_mib),
        _row("diffusers, four in turn", [r.diffusers_four for r in rounds], CONCURRENT, steps, result.diffusers_mib),
        _row("HTTP, four at once", [r.four for r in rounds], CONCURRENT, steps, result.server_mib),
    ]
    spent = {name: median(r.lone.timings[name] for r in rounds) for name in rounds[0].lone.timings}
    foreign = max(r.foreign_cores for r in rounds)
    notes = (
        f"Mean step batch with four requests: {result.mean_step_batch:.1f} rows. Median milliseconds of one request: "
        + ", ".join(f"{name.removesuffix('_seconds')} {seconds * 1000:.1f}" for name, seconds in spent.items())
        + f". {len(rounds)} rounds, {result.dropped} dropped; other programs took at most {foreign:.2f} cores."
    )
    if foreign > FOREIGN_CORES_ALLOWED:
        notes += " **The machine was busy: these figures do not count.**"
    return "\n".join([*rows, "", notes])


def perf_analyzer_table(levels: list[Level], frames: int) -> str:
    rows = [
        f"| {level.concurrency} | {level.videos} | {level.p50:.3f} | {level.p95:.3f} "
        f"| {level.videos_per_second:.2f} | {level.videos_per_second * frames:.1f} |"
        for level in levels
    ]
    return "\n".join(
        ["| jobs in flight | videos | p50 s | p95 s | videos/s | frames/s |", "|---|---|---|---|---|---|", *rows]
    )


def _row(what: str, seconds: list[float], videos: int, steps: int, mib: float) -> str:
    p50, p95 = np.percentile(seconds, [50, 95])
    return f"| {what} | {p50:.3f} | {p95:.3f} | {videos / p50:.2f} | {videos * steps / p50:.0f} | {mib:.0f} |"
