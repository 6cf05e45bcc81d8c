"""Everything that one run measured."""

from dataclasses import dataclass
from datetime import datetime

from benchmarks import http, memory, perf_analyzer
from benchmarks.machine import Machine
from benchmarks.parity import Difference
from pipelines.model_card import ModelCard


@dataclass(frozen=True)
class Results:
    """Parts that were left out are None."""

    command: str
    started: datetime
    machine: Machine
    card: ModelCard
    perf_analyzer: list[perf_analyzer.Level] | None = None
    http: http.Result | None = None
    parity: Difference | None = None
    memory: memory.Result | None = None
