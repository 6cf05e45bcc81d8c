"""The frontend's own Prometheus metrics."""

from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

Phase = Literal["queue", "text", "image", "denoise", "decode", "encode", "storage", "total"]
JobEnd = Literal["completed", "failed", "cancelled"]
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_REQUEST_BUCKETS = (0.005, 0.05, 0.25, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)
_PHASE_BUCKETS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1200, 1800, 3600)
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
            "Videos and images that `generate` was asked for and has not answered, those that wait there too",
            registry=self._registry,
        )
        self._key_requests = Counter(
            "tritonreel_key_requests",
            "HTTP requests answered, by the name of their API key",
            ["key", "status"],
            registry=self._registry,
        )
        self._key_seconds = Counter(
            "tritonreel_key_job_seconds",
            "Seconds for which jobs ran here, by the name of the API key that they were made with",
            ["key"],
            registry=self._registry,
        )
        self._jobs = Counter(
            "tritonreel_jobs",
            "Jobs that ended here, by the name of the API key that they were made with, empty for none",
            ["key", "status"],
            registry=self._registry,
        )
        self._phase_seconds = Histogram(
            "tritonreel_job_phase_seconds",
            "Seconds that each video or image of the completed jobs spent in a phase; `queue` from the request on, "
            "`storage` and `total` of the whole job; `denoise` of a hosted one is its provider's work",
            ["phase"],
            buckets=_PHASE_BUCKETS,
            registry=self._registry,
        )
        self.jobs_waiting = Gauge(
            "tritonreel_jobs_waiting",
            "Jobs that no frontend has begun, of all frontends that share the queue",
            registry=self._registry,
        )
        self.jobs_running = Gauge(
            "tritonreel_jobs_running",
            "Jobs that this frontend has begun, those that wait in `generate` too",
            registry=self._registry,
        )
        self._server_healthy = Gauge(
            "tritonreel_server_healthy",
            "Whether a Triton server answered when it was last asked",
            ["server"],
            registry=self._registry,
        )
        self._server_evaluations = Gauge(
            "tritonreel_server_outstanding_evaluations",
            "Evaluations of transformers that are left of this frontend's jobs on a Triton server",
            ["server"],
            registry=self._registry,
        )
        self._server_draining = Gauge(
            "tritonreel_server_draining",
            "Whether a Triton server gets no new jobs because an administrator said so",
            ["server"],
            registry=self._registry,
        )
        self.database_healthy = Gauge(
            "tritonreel_database_healthy",
            "Whether the database of jobs answers",
            registry=self._registry,
        )
        self.storage_healthy = Gauge(
            "tritonreel_storage_healthy",
            "0 while files wait in the spool folder because they could not be uploaded",
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

        self._hosted_videos = Counter(
            "tritonreel_hosted_videos",
            "Videos that hosted providers made",
            ["provider", "model"],
            registry=self._registry,
        )
        self._hosted_dollars = Counter(
            "tritonreel_hosted_dollars",
            "US dollars that they cost, by the providers' price lists",
            ["provider", "model"],
            registry=self._registry,
        )

    def request_answered(self, method: str, route: str, status: int, seconds: float, key: str | None) -> None:
        """`route` is the route's template, never the path, and `key` the name of a known key: their values are few."""
        if key is not None:
            self._key_requests.labels(key, str(status)).inc()
        self._requests.labels(method, route, str(status)).inc()
        self._request_seconds.labels(method, route).observe(seconds)

    def job_ended(self, key: str | None, status: JobEnd) -> None:
        """Count a job of the API key of that name."""
        self._jobs.labels(key or "", status).inc()

    def key_ran(self, key: str, seconds: float) -> None:
        """Count for how long a job of the API key of that name ran."""
        self._key_seconds.labels(key).inc(seconds)

    def phase(self, phase: Phase, seconds: float) -> None:
        """Take note of how long a phase took."""
        self._phase_seconds.labels(phase).observe(seconds)

    def made(self, kind: Literal["video", "image"], num_frames: int, encode_seconds: float) -> None:
        """Count a video of `num_frames`, or an image."""
        if kind == "image":
            self._images.inc()
            return
        self._videos.inc()
        self._frames.inc(num_frames)
        self._encode_seconds.observe(encode_seconds)

    def hosted_video(self, provider: str, model: str, price: float) -> None:
        """Count a video of a hosted provider that costs so many US dollars by its price list."""
        self._hosted_videos.labels(provider, model).inc()
        self._hosted_dollars.labels(provider, model).inc(price)

    def server(self, name: str, healthy: bool, draining: bool, evaluations: int) -> None:
        """How a Triton server is, and what it has to do."""
        self._server_healthy.labels(name).set(healthy)
        self._server_draining.labels(name).set(draining)
        self._server_evaluations.labels(name).set(evaluations)

    def text(self) -> str:
        """Prometheus' text format."""
        return generate_latest(self._registry).decode()
