"""A collector of OpenTelemetry traces: OTLP over HTTP, as protobuf and as the JSON that tritonserver sends."""

import json
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from tests.waiting import SECONDS


@dataclass(frozen=True)
class Span:
    """One that arrived. Ids are hexadecimal; `parent` is empty for a root."""

    service: str
    name: str
    trace: str
    id: str
    parent: str
    started: int
    """unix time in nanoseconds"""
    ended: int
    is_error: bool
    attributes: dict[str, object]
    events: list[str]


class Collector:
    """A context manager: listens, then does not.

    Args:
        answer_after: seconds, of a collector that hangs.
        address: where it listens; port 0 stands for any.
    """

    def __init__(self, answer_after: float = 0, address: tuple[str, int] = ("127.0.0.1", 0)) -> None:
        self.bodies: list[bytes] = []
        """all that arrived, as it came"""
        self.headers: list[dict[str, str]] = []
        self._spans: list[Span] = []
        self._stopped = threading.Event()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                assert self.path == "/v1/traces"
                collector.headers.append(dict(self.headers.items()))
                collector.bodies.append(body)
                is_json = "json" in self.headers["Content-Type"]
                collector._spans += list(_of_json(json.loads(body)) if is_json else _of_protobuf(body))
                collector._stopped.wait(answer_after)
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *arguments: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(address, Handler)
        self._server.daemon_threads = True
        self.url = f"http://{address[0]}:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._server.shutdown()
        self._server.server_close()

    def of(self, trace: str) -> list[Span]:
        """The spans of a trace until now, by their starts."""
        return sorted((span for span in self._spans if span.trace == trace), key=lambda span: span.started)

    def all(self) -> list[Span]:
        """Every span until now."""
        return list(self._spans)

    def wait_for(self, trace: str, condition: Callable[[list[Span]], bool]) -> list[Span]:
        """The spans of a trace, once they are as wanted."""
        deadline = time.monotonic() + SECONDS
        while not condition(spans := self.of(trace)):
            assert time.monotonic() < deadline, [(span.service, span.name) for span in spans]
            time.sleep(0.05)
        return spans


def _of_protobuf(body: bytes) -> Iterable[Span]:
    for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        service = _attributes(resource.resource.attributes)["service.name"]
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield Span(
                    str(service),
                    span.name,
                    span.trace_id.hex(),
                    span.span_id.hex(),
                    span.parent_span_id.hex(),
                    span.start_time_unix_nano,
                    span.end_time_unix_nano,
                    span.status.code == span.status.STATUS_CODE_ERROR,
                    _attributes(span.attributes),
                    [event.name for event in span.events],
                )


def _attributes(pairs: Iterable[KeyValue]) -> dict[str, object]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: AnyValue) -> object:
    kind = value.WhichOneof("value")
    return None if kind is None else getattr(value, kind)


def _of_json(request: dict[str, Any]) -> Iterable[Span]:
    for resource in request["resourceSpans"]:
        service = _json_attributes(resource["resource"]["attributes"])["service.name"]
        for scope in resource.get("scopeSpans") or resource["instrumentationLibrarySpans"]:
            for span in scope["spans"]:
                yield Span(
                    str(service),
                    span["name"],
                    span["traceId"],
                    span["spanId"],
                    span.get("parentSpanId", ""),
                    int(span["startTimeUnixNano"]),
                    int(span["endTimeUnixNano"]),
                    span.get("status", {}).get("code") in (2, "STATUS_CODE_ERROR"),
                    _json_attributes(span.get("attributes", [])),
                    [event["name"] for event in span.get("events", [])],
                )


def _json_attributes(pairs: list[dict[str, Any]]) -> dict[str, object]:
    return {pair["key"]: next(iter(pair["value"].values()), None) for pair in pairs}
