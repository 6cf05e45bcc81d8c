import re
from collections.abc import Iterator

import pytest
from opentelemetry.trace import StatusCode

from tests.recorded_spans import RecordedSpans, parent_of, recorded_spans, trace_of
from tracing.spans import begin, carrier, describe, happened, is_sampled, span, trace_id, within

TRACE, CLIENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = {"traceparent": f"00-{TRACE}-{CLIENT}-01", "tracestate": "vendor=1"}


@pytest.fixture
def recorded() -> Iterator[RecordedSpans]:
    with recorded_spans() as recorded:
        yield recorded


def test_where_traces_are_off_there_is_no_span() -> None:
    with span("a", {"b": 1}):
        describe({"c": 2})
        happened("d", {"e": 3})
        assert (carrier(), trace_id(), is_sampled()) == ({}, "", False)


def test_a_span_of_another_process_is_joined_and_handed_on(recorded: RecordedSpans) -> None:
    with span("a", parent=PARENT):
        assert trace_id() == TRACE
        assert is_sampled()
        handed_on = carrier()
    (made,) = recorded.named("a")
    assert (trace_of(made), parent_of(made)) == (TRACE, CLIENT)
    assert re.fullmatch(rf"00-{TRACE}-[0-9a-f]{{16}}-01", handed_on["traceparent"])
    assert CLIENT not in handed_on["traceparent"]
    assert handed_on["tracestate"] == "vendor=1"


@pytest.mark.usefixtures("recorded")
@pytest.mark.parametrize(("length", "kept"), [(119, True), (121, False)])
def test_a_state_that_is_too_long_is_not_handed_on(length: int, kept: bool) -> None:
    state = ",".join(f"vendor{number}={'x' * length}" for number in range(4))
    with span("a", parent=PARENT | {"tracestate": state}):
        handed_on = carrier()
    assert TRACE in handed_on["traceparent"]
    assert handed_on.get("tracestate") == (state if kept else None)


@pytest.mark.parametrize("unreadable", [{}, {"traceparent": "00-0-0-01"}, {"traceparent": "nonsense"}])
def test_what_is_no_parent_begins_a_trace(recorded: RecordedSpans, unreadable: dict[str, str]) -> None:
    with span("around"), span("a", parent=unreadable):
        pass
    (made,), (around,) = recorded.named("a"), recorded.named("around")
    assert parent_of(made) is None
    assert trace_of(made) != trace_of(around)


def test_what_its_client_does_not_sample_is_not_exported(recorded: RecordedSpans) -> None:
    with span("a", parent={"traceparent": f"00-{TRACE}-{CLIENT}-00"}), span("b"):
        assert trace_id() == TRACE
        assert not is_sampled()
        assert carrier()["traceparent"].endswith("-00")
    assert recorded.text() == "[]"


def test_an_error_is_told_by_its_class_and_not_by_its_message(recorded: RecordedSpans) -> None:
    with pytest.raises(ValueError, match="hush"), span("outer"), span("inner"):
        raise ValueError("prompt: hush")
    for name in ("outer", "inner"):
        (made,) = recorded.named(name)
        assert made.status.status_code is StatusCode.ERROR
        assert dict(made.attributes or {}) == {"error.type": "ValueError"}
        assert list(made.events) == []
    assert "hush" not in recorded.text()


def test_a_span_that_began_before_is_a_parent_as_well(recorded: RecordedSpans) -> None:
    earlier = begin("earlier", {"n": 1}, since=1000.5)
    with within(earlier), span("a"):
        pass
    assert recorded.named("earlier") == []
    earlier.end()
    (made,), (parent,) = recorded.named("a"), recorded.named("earlier")
    assert parent.context is not None
    assert parent_of(made) == f"{parent.context.span_id:016x}"
    assert parent.start_time == 1_000_500_000_000
    assert dict(parent.attributes or {}) == {"tritonreel.n": 1}
