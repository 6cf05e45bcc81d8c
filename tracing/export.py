"""Sends this process's spans to a collector, as OpenTelemetry's own environment variables say: OTLP over HTTP."""

import logging
import os
import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from opentelemetry import trace

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

SERVICE_VARIABLE = "OTEL_SERVICE_NAME"
FRONTEND, TRITON = "tritonreel", "tritonreel-triton"
"""what the services are called where the environment does not say; the launcher calls tritonserver NAME-triton"""
_LAST_SPANS_SECONDS = 1.0
"""that a process which ends waits for its collector"""
_SILENT_SECONDS = 60.0
_HEADERS_LOGGER = "opentelemetry.util.re"
"""complains of OTEL_EXPORTER_OTLP_HEADERS, and quotes it"""

_log = logging.getLogger(__name__)
_provider: "TracerProvider | None" = None


def traces_url(environment: Mapping[str, str] = os.environ) -> str | None:
    """Where spans are sent; None where they are not."""
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return None
    if environment.get("OTEL_TRACES_EXPORTER", "").strip() not in ("", "otlp"):
        return None
    if of_traces := environment.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"):
        return of_traces
    endpoint = environment.get("OTEL_EXPORTER_OTLP_ENDPOINT")
    return f"{endpoint.removesuffix('/')}/v1/traces" if endpoint else None


def service_name(default: str, environment: Mapping[str, str] = os.environ) -> str:
    """What this process is called in traces: as the environment says, or `default`."""
    pairs = [pair.partition("=") for pair in environment.get("OTEL_RESOURCE_ATTRIBUTES", "").split(",")]
    given = {name.strip(): value.strip() for name, _, value in pairs}
    return environment.get(SERVICE_VARIABLE) or given.get("service.name") or default


def start_traces(default_service: str) -> None:
    """Begin to export, if the environment says where to; a program that has set up OpenTelemetry itself keeps that."""
    global _provider
    if traces_url() is None or not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        return
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import Span, TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    class Processor(BatchSpanProcessor):
        """Sends spans from a thread of its own, and forgets the oldest where the collector does not take them."""

        def on_start(self, span: Span, parent_context: Any = None) -> None:
            """FastAPI exports queries of URLs, which have signatures and whatever else clients put there."""
            if "url.query" in (span.attributes or {}):
                span.set_attribute("url.query", "REDACTED")

    _say_little()
    name = service_name(default_service)
    _provider = TracerProvider(resource=Resource.create({"service.name": name}), shutdown_on_exit=False)
    _provider.add_span_processor(Processor(OTLPSpanExporter()))
    trace.set_tracer_provider(_provider)


def stop_traces() -> None:
    """Send what is left, for a second at most: the collector may be away, or hang."""
    global _provider
    if _provider is None:
        return
    last = threading.Thread(target=_provider.shutdown, name="last-spans", daemon=True)
    last.start()
    last.join(_LAST_SPANS_SECONDS)
    _provider = None


def _say_little() -> None:
    logger = logging.getLogger("opentelemetry")
    logger.propagate = False
    logger.handlers = [_OccasionalHandler(logging.WARNING)]


class _OccasionalHandler(logging.Handler):
    """Logs what OpenTelemetry complains of, once per minute at most: it does so of each batch that it cannot send."""

    def __init__(self, level: int) -> None:
        super().__init__(level)
        self._silent_until = float("-inf")

    def emit(self, record: logging.LogRecord) -> None:
        now = time.monotonic()
        if now < self._silent_until:
            return
        self._silent_until = now + _SILENT_SECONDS
        reason = record.getMessage()
        if record.name == _HEADERS_LOGGER:
            reason = "OTEL_EXPORTER_OTLP_HEADERS must be NAME=VALUE pairs with commas between them, percent-encoded"
        _log.warning("traces: %s (nothing more of this for %.0f s)", reason, _SILENT_SECONDS)
