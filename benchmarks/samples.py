"""Measured values of one kind, and what is said of them."""

from collections.abc import Iterable

import numpy as np


class Samples:
    """At least one value."""

    def __init__(self, values: Iterable[float]) -> None:
        self.values = tuple(values)
        if not self.values:
            raise ValueError("no values were measured")

    def __len__(self) -> int:
        return len(self.values)

    @property
    def mean(self) -> float:
        return float(np.mean(self.values))

    @property
    def p50(self) -> float:
        return self.percentile(50)

    @property
    def p95(self) -> float:
        return self.percentile(95)

    def percentile(self, percent: float) -> float:
        """Between two values the line through them counts (numpy's default)."""
        return float(np.percentile(self.values, percent))
