"""The frontend's own Prometheus metrics."""

from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_REQUEST_BUCKETS = (0.005, 0.05, 0.25, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)
_ENCODE_BUCKETS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """One registry an application, so that several can live in one process."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "tritonreel_http_requests",
            "HTTP requests answered",
            ["method", "route", "status"],
            registry=self._registry,
        )
        self._request_seconds = Histogram(
            "tritonreel_http_request_seconds",
            "Seconds from a request's arrival to the end of its answer",
            ["method", "route"],
            buckets=_REQUEST_BUCKETS,
            registry=self._registry,
        )
        self.jobs_in_flight = Gauge(
            "tritonreel_jobs_in_flight",
            "Jobs whose result a client waits for, those in the queue too (jobs_running: what Triton runs, also for "
            "clients that left)",
            registry=self._registry,
        )
        self._videos = Counter("tritonreel_videos", "Videos made", registry=self._registry)
        self._images = Counter("tritonreel_images", "Images made", registry=self._registry)
        self._frames = Counter("tritonreel_frames", "Frames in the videos made", registry=self._registry)
        self._encode_seconds = Histogram(
            "tritonreel_encode_seconds",
            "Seconds that encoding a video took, all its frames together",
            buckets=_ENCODE_BUCKETS,
            registry=self._registry,
        )

    def request_answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """`route` is the route's template, never the path: its values are few."""
        self._requests.labels(method, route, str(status)).inc()
        self._request_seconds.labels(method, route).observe(seconds)

    def made(self, kind: Literal["video", "image"], num_frames: int, encode_seconds: float) -> None:
        """Count a video of `num_frames`, or an image."""
        if kind == "image":
            self._images.inc()
            return
        self._videos.inc()
        self._frames.inc(num_frames)
        self._encode_seconds.observe(encode_seconds)

    def text(self) -> str:
        """Prometheus' text format."""
        return generate_latest(self._registry).decode()
