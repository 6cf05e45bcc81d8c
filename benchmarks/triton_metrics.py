"""Triton's metrics port: what `generate` and the leaf models count."""

from dataclasses import dataclass

import httpx
from prometheus_client.parser import text_string_to_metric_families


@dataclass(frozen=True)
class Metrics:
    """Values at one moment, or their growth between two moments, by name and labels."""

    values: dict[tuple[str, frozenset[tuple[str, str]]], float]

    @classmethod
    def parse(cls, text: str) -> "Metrics":
        """Read the Prometheus text format."""
        samples = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
        return cls({(sample.name, frozenset(sample.labels.items())): sample.value for sample in samples})

    def since(self, earlier: "Metrics") -> "Metrics":
        """How much each value has grown; one that was not there before counts from 0."""
        return Metrics({key: value - earlier.values.get(key, 0.0) for key, value in self.values.items()})

    def plus(self, other: "Metrics") -> "Metrics":
        keys = self.values.keys() | other.values.keys()
        return Metrics({key: self.values.get(key, 0.0) + other.values.get(key, 0.0) for key in keys})

    def value(self, name: str, **labels: str) -> float:
        """0 where it was never counted."""
        return self.values.get((name, frozenset(labels.items())), 0.0)

    def mean(self, histogram: str) -> float:
        """Mean of the values that a histogram observed; 0 when it observed none."""
        count = self.value(f"{histogram}_count")
        return self.value(f"{histogram}_sum") / count if count else 0.0


def read_metrics(client: httpx.Client, url: str) -> Metrics:
    return Metrics.parse(client.get(url).raise_for_status().text)
