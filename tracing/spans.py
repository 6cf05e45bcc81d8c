"""Spans, which cost next to nothing where no traces are exported: OpenTelemetry's SDK is not even imported then.

What they say is for whoever may read the traces: ids, names of models, sizes, counts and classes of errors. Never a
prompt, a URL's query or an error's message, which may quote either.
"""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

Attributes = Mapping[str, str | int]
Carrier = dict[str, str]
"""a span as W3C writes it for other processes, `traceparent` and `tracestate`; empty for none"""
_MAX_STATE = 512
"""characters, as W3C has it; a client's can have more than gRPC takes of all headers"""
_W3C = TraceContextTextMapPropagator()
_TRACER = trace.get_tracer("tritonreel")


@contextmanager
def span(
    name: str,
    attributes: Attributes | None = None,
    *,
    parent: Carrier | None = None,
    kind: SpanKind = SpanKind.INTERNAL,
) -> Iterator[Span]:
    """What runs within, as a child of `parent`, or of the current span if None; an error ends it as failed."""
    made = begin(name, attributes, parent=parent, kind=kind)
    with within(made):
        try:
            yield made
        except BaseException as error:
            fail(made, error)
            raise
        finally:
            made.end()


def begin(
    name: str,
    attributes: Attributes | None = None,
    *,
    parent: Carrier | None = None,
    kind: SpanKind = SpanKind.INTERNAL,
    since: float | None = None,
) -> Span:
    """As `span`, to be ended; one that never is does not appear in the trace.

    Args:
        since: unix time, if not now.
    """
    context = None if parent is None else _W3C.extract(parent, Context())
    started = None if since is None else int(since * 1e9)
    return _TRACER.start_span(name, context, kind, _named(attributes or {}), start_time=started)


def within(made: Span) -> AbstractContextManager[Span]:
    """A context whose spans, and whose tasks' spans, are children of `made`."""
    return trace.use_span(made, record_exception=False, set_status_on_exception=False)


def fail(made: Span, error: BaseException) -> None:
    """Say that `error` ended what the span is of."""
    made.set_attribute("error.type", type(error).__name__)
    made.set_status(StatusCode.ERROR)


def describe(attributes: Attributes) -> None:
    """Say more of the current span."""
    trace.get_current_span().set_attributes(_named(attributes))


def happened(event: str, attributes: Attributes) -> None:
    """Something happened during the current span, of which the SDK keeps the last 128."""
    trace.get_current_span().add_event(event, _named(attributes))


def carrier() -> Carrier:
    """The current span, for another process, or for later. A `tracestate` that nobody has to take is left out."""
    written: Carrier = {}
    _W3C.inject(written)
    if len(written.get("tracestate", "")) > _MAX_STATE:
        del written["tracestate"]
    return written


def is_sampled() -> bool:
    """Whether the current span is exported."""
    return trace.get_current_span().get_span_context().trace_flags.sampled


def trace_id() -> str:
    """Of the current span, in hexadecimal; empty where there is none."""
    context = trace.get_current_span().get_span_context()
    return trace.format_trace_id(context.trace_id) if context.is_valid else ""


def _named(attributes: Attributes) -> Attributes:
    return {f"tritonreel.{name}": value for name, value in attributes.items()}
