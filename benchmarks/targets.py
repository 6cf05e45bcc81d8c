"""What the product promises, and whether a run shows it."""

from dataclasses import dataclass

from benchmarks import http, memory
from benchmarks.parity import Difference
from benchmarks.results import Results

LATENCY_RATIO = 0.7
RATE_RATIO = 2.0
STEP_OVERHEAD_MS = 5.0
DECODE_MEMORY_RATIO = 1.2
DIFFERENT_LEVELS = 1
DIFFERENT_PERCENT = 0.1


@dataclass(frozen=True)
class Target:
    what: str
    measured: float
    limit: float
    unit: str
    at_least: bool = False
    """the limit is the lowest value that meets it; otherwise the highest"""

    @property
    def is_met(self) -> bool:
        return self.measured >= self.limit if self.at_least else self.measured <= self.limit


def targets(results: Results) -> list[Target]:
    """Of the parts that were measured."""
    found: list[Target] = []
    if results.http is not None:
        found += _of_http(results.http)
    if results.parity is not None:
        found += _of_parity(results.parity)
    if results.memory is not None:
        found += _of_memory(results.memory)
    return found


def _of_http(result: http.Result) -> list[Target]:
    return [
        Target("one HTTP request: time, of diffusers'", result.latency_ratio, LATENCY_RATIO, "x"),
        Target(
            f"{http.CONCURRENT} concurrent HTTP requests: clips/s, of diffusers'",
            result.rate_ratio,
            RATE_RATIO,
            "x",
            at_least=True,
        ),
        Target("serving overhead a denoising step", result.step_overhead.p50 * 1000, STEP_OVERHEAD_MS, " ms"),
    ]


def _of_parity(difference: Difference) -> list[Target]:
    return [
        Target(
            "served frames against diffusers': difference", difference.levels, DIFFERENT_LEVELS, " levels of 8 bits"
        ),
        Target("served frames against diffusers': values that differ", difference.share * 100, DIFFERENT_PERCENT, " %"),
    ]


def _of_memory(result: memory.Result) -> list[Target]:
    what = f"decode memory over the loaded graphs: {memory.LONG} frames, of {memory.SHORT}"
    return [Target(what, result.grown_ratio, DECODE_MEMORY_RATIO, "x")]
