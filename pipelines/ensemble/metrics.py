"""What Triton cannot know of a decoupled model: its queue, its steps and its batches, on Triton's metrics port."""

from __future__ import annotations  # Triton makes its classes later than it imports this

from collections.abc import Callable, Mapping, Sequence
from functools import cache

import triton_python_backend_utils as pb_utils

STEP_SECONDS = [0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50]
JOB_SECONDS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800]
NO_LABELS: Mapping[str, str] = {}
BATCH_ROWS = [1, 2, 4, 6, 8, 12, 16, 24, 32]


class Metrics:
    """The gauges, counters and histograms of `generate`.

    Args:
        model, version: what Triton calls it.
    """

    def __init__(self, model: str, version: str) -> None:
        family = pb_utils.MetricFamily
        self._families: list[pb_utils.MetricFamily] = []  # a metric dies with its family
        self._waiting = self._metric("jobs_waiting", "Jobs that wait for a place", family.GAUGE)
        self._running = self._metric(
            "jobs_running",
            "Jobs that hold a place: being made, or given up and still in the model call that was under way",
            family.GAUGE,
        )
        self._cancelled = self._metric("cancelled_total", "Jobs whose client went away", family.COUNTER)
        self._failed = self._metric("failed_total", "Jobs that ended with any other error", family.COUNTER)
        # Triton's own: whatever a decoupled model answers, Triton counts a request as a success when `execute` returns,
        # which is before its job begins. A family of that name is the one that Triton has, and so is the counter.
        self._triton_failures = self._metric(
            "nv_inference_request_failure",
            "Number of failed inference requests, all batch sizes",
            family.COUNTER,
            labels={"model": model, "version": version, "reason": "BACKEND"},
        )
        self._jobs = self._metric("job_seconds", "Whole jobs that were done", family.HISTOGRAM, JOB_SECONDS)
        self._steps = self._metric("step_seconds", "One transformer batch", family.HISTOGRAM, STEP_SECONDS)
        self._rows = self._metric("step_batch_size", "Rows of a transformer batch", family.HISTOGRAM, BATCH_ROWS)
        self._cache_bytes = self._metric(
            "condition_cache_bytes", "Encoded prompts and images that are kept", family.GAUGE
        )
        self._loaded_bytes = self._metric("loaded_weights_bytes", "Of models that come and go", family.GAUGE)
        self._loads = self._by_model("model_loads_total", "How often a model that comes and goes was loaded")
        self._load_seconds = self._by_model("model_load_seconds_total", "Time in which such a model was being loaded")
        self._cache_hits = self._by_model(
            "condition_cache_hits_total", "Prompts and images that were encoded already, or were being encoded"
        )
        self._cache_misses = self._by_model("condition_cache_misses_total", "Prompts and images that had to be encoded")

    def queue_changed(self, running: int, waiting: int) -> None:
        self._running.set(running)
        self._waiting.set(waiting)

    def condition_looked_up(self, model: str, found: bool) -> None:
        (self._cache_hits if found else self._cache_misses)(model).increment(1)

    def conditions_kept(self, kept: int) -> None:
        self._cache_bytes.set(kept)

    def model_moved(self, model: str, is_loaded: bool, seconds: float, loaded_bytes: int) -> None:
        """A model was loaded or unloaded."""
        self._loaded_bytes.set(loaded_bytes)
        if is_loaded:
            self._loads(model).increment(1)
            self._load_seconds(model).increment(seconds)

    def batch_done(self, seconds: float, rows: int) -> None:
        self._steps.observe(seconds)
        self._rows.observe(rows)

    def job_done(self, seconds: float) -> None:
        self._jobs.observe(seconds)

    def job_cancelled(self) -> None:
        self._cancelled.increment(1)

    def job_failed(self) -> None:
        self._failed.increment(1)
        self._triton_failures.increment(1)

    def _by_model(self, name: str, description: str) -> Callable[[str], pb_utils.Metric]:
        """A counter for each of the leaf models that are asked for."""
        family = pb_utils.MetricFamily(name=name, description=description, kind=pb_utils.MetricFamily.COUNTER)
        self._families.append(family)
        return cache(lambda model: family.Metric(labels={"model": model}))

    def _metric(
        self,
        name: str,
        description: str,
        kind: pb_utils.MetricKind,
        buckets: Sequence[float] | None = None,
        labels: Mapping[str, str] = NO_LABELS,
    ) -> pb_utils.Metric:
        family = pb_utils.MetricFamily(name=name, description=description, kind=kind)
        self._families.append(family)
        return family.Metric(labels=labels, buckets=buckets) if buckets else family.Metric(labels=labels)
