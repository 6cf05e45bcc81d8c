"""How `generate` ends requests: each gets exactly one final response, on its report or its error, whatever happens.

A client whose request never ends waits for ever, and one whose request ends twice hears of another's.
"""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import pytest

from protocol.errors import InvalidRequest
from protocol.events import Event, Failed, read_event
from tests.recorded_spans import parent_of, recorded_spans, trace_of

from .backend_utils import TRITONSERVER_RESPONSE_COMPLETE_FINAL as FINAL
from .backend_utils import InferenceRequest, InferenceResponse, MetricFamily, TritonError
from .conftest import Scripted, request

if TYPE_CHECKING:
    from pipelines.ensemble.model import TritonPythonModel

SECONDS = 30
ERRORS = [RuntimeError("broken"), InvalidRequest("too wide", "width"), asyncio.CancelledError(), MemoryError()]


def start(generate: "TritonPythonModel", *requests: InferenceRequest) -> None:
    """Give requests to the model."""
    generate.execute(list(requests))  # type: ignore[arg-type]  # of the double


def run(generate: "TritonPythonModel", *requests: InferenceRequest) -> None:
    """Give requests to the model and wait for their ends."""
    start(generate, *requests)
    for one in requests:
        wait_for_end(one)


def wait_for_end(one: InferenceRequest) -> None:
    assert one.sender.finished.wait(SECONDS), "the request never ended"


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def error_of(one: InferenceRequest) -> Failed | None:
    """The error that a request ended with, which has one end."""
    finals = [flags & FINAL for _, flags in one.sender.sent]
    assert finals == [0] * (len(finals) - 1) + [FINAL]
    *others, last = [_event_of(response) for response, _ in one.sender.sent]
    assert not any(isinstance(event, Failed) for event in others)
    return last if isinstance(last, Failed) else None


def _event_of(response: InferenceResponse) -> Event:
    """Triton has an error of its own for requests that were cancelled."""
    if response.has_error():
        assert response.error().code() == TritonError.CANCELLED
        return Failed(code="cancelled", message=response.error().message())
    (said,) = [tensor for tensor in response.output_tensors() if tensor.name() == "event"]
    return read_event(said.as_numpy().item())


class Gate:
    """Holds a phase of a job until a test lets it go."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.stopped = threading.Event()
        """what was held was cancelled"""
        self._open = threading.Event()

    async def __call__(self) -> None:
        self.reached.set()
        try:
            while not self._open.is_set():
                await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            self.stopped.set()
            raise

    def wait(self) -> None:
        assert self.reached.wait(SECONDS)

    def open(self) -> None:
        self._open.set()


def raising(error: BaseException) -> Callable[[], Awaitable[None]]:
    async def raise_it() -> None:
        raise error

    return raise_it


def test_a_video_ends_with_its_report_after_its_last_frames(generate: "TritonPythonModel") -> None:
    made = request()
    run(generate, made)
    assert error_of(made) is None
    names = [{tensor.name() for tensor in response.output_tensors()} for response, _ in made.sender.sent]
    assert names[-1] == {"event"}
    assert [one == {"event", "frames"} for one in names if "frames" in one] == [True] * 3
    wait_until(lambda: len(MetricFamily.made["job_seconds"].observed) == 1)


@pytest.mark.parametrize("task", ["describe", "loras"])
def test_a_question_ends_with_its_answer(generate: "TritonPythonModel", task: str) -> None:
    asked = request(task)
    run(generate, asked)
    assert error_of(asked) is None
    assert len(asked.sender.sent) == 1


@pytest.mark.parametrize("phase", ["text", "image", "step", "decode"])
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_whatever_is_raised_in_whatever_phase_ends_the_request_once(
    generate: "TritonPythonModel", scripted: Scripted, phase: str, error: BaseException
) -> None:
    scripted.hooks[phase] = raising(error)
    made = request()
    run(generate, made)
    ended = error_of(made)
    assert ended is not None
    assert ended.code == ("invalid_request" if isinstance(error, InvalidRequest) else "internal")
    assert type(error).__name__ in ended.message or "too wide" in ended.message
    wait_until(lambda: MetricFamily.made["failed_total"].value == 1)
    wait_until(lambda: MetricFamily.made["nv_inference_request_failure"].value == 1)

    scripted.hooks.clear()
    after = request()
    run(generate, after)
    assert error_of(after) is None, "the failed job has kept its place"


@pytest.mark.parametrize("failing", [None, "text", "image", "step", "decode"])
def test_the_phases_of_a_job_are_spans_in_the_trace_of_its_client(
    generate: "TritonPythonModel", scripted: Scripted, failing: str | None
) -> None:
    if failing:
        scripted.hooks[failing] = raising(InvalidRequest("hush", "width"))
    made = request()
    made.custom_parameters["traceparent"] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    with recorded_spans() as recorded:
        run(generate, made)
        wait_until(lambda: len(recorded.named("generate job")) == 1)
    (job,) = recorded.named("generate job")
    assert (trace_of(job), parent_of(job)) == ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")
    assert (job.attributes or {}).get("error.type") == ("InvalidRequest" if failing else None)
    phases = ["queue", "text", "image", "denoise", "decode"]
    last = {"step": "denoise", None: "decode"}.get(failing, failing)
    assert job.context is not None
    for phase in phases[: phases.index(str(last)) + 1]:
        (span,) = recorded.named(phase)
        assert parent_of(span) == f"{job.context.span_id:016x}"
        assert span.status.is_ok is (phase != last or failing is None)
    assert "hush" not in recorded.text()
    assert "a cat" not in recorded.text()


def test_a_request_that_cannot_be_read_ends_with_why(generate: "TritonPythonModel") -> None:
    unreadable = [request("dance"), request(model="sora"), request(prompt="")]
    for one in unreadable:
        run(generate, one)
        assert error_of(one) is not None
        assert len(one.sender.sent) == 1


@pytest.mark.parametrize("task", [None, "describe"])
def test_a_last_response_that_cannot_be_sent_gives_way_to_an_error(
    generate: "TritonPythonModel", task: str | None
) -> None:
    failures: list[int] = []

    def fail_once(number: int, flags: int) -> None:
        if flags & FINAL and not failures:
            failures.append(number)
            raise OSError("no shared memory is left")

    asked = request(task, before=fail_once)
    run(generate, asked)
    ended = error_of(asked)
    assert ended is not None
    assert "no shared memory is left" in ended.message


def test_progress_that_cannot_be_sent_costs_no_job_its_end(generate: "TritonPythonModel", scripted: Scripted) -> None:
    def fail_first(number: int, flags: int) -> None:
        if not failed.is_set():
            failed.set()
            raise OSError("no shared memory is left")

    async def wait_for_failure() -> None:
        await asyncio.to_thread(failed.wait, SECONDS)

    failed = threading.Event()
    scripted.hooks["text"] = wait_for_failure
    made = request(before=fail_first)
    run(generate, made)
    assert error_of(made) is None


@pytest.mark.parametrize("phase", ["text", "image", "step", "decode"])
def test_a_cancelled_request_stops_and_ends_as_cancelled(
    generate: "TritonPythonModel", scripted: Scripted, phase: str
) -> None:
    scripted.hooks[phase] = gate = Gate()
    made = request()
    start(generate, made)
    gate.wait()
    made.sender.cancelled = True
    wait_for_end(made)
    ended = error_of(made)
    assert ended is not None
    assert ended.code == "cancelled"
    assert gate.stopped.is_set()
    assert MetricFamily.made["cancelled_total"].value == 1
    assert MetricFamily.made["failed_total"].value == 0
    assert MetricFamily.made["nv_inference_request_failure"].value == 0


def test_a_request_that_is_cancelled_while_it_waits_leaves_the_queue(
    generate: "TritonPythonModel", scripted: Scripted
) -> None:
    scripted.hooks["text"] = gate = Gate()
    running, waiting = request(), request()
    start(generate, running)
    gate.wait()
    start(generate, waiting)
    waiting.sender.cancelled = True
    wait_for_end(waiting)
    ended = error_of(waiting)
    assert ended is not None
    assert ended.code == "cancelled"
    assert not running.sender.finished.is_set()
    gate.open()
    wait_for_end(running)
    assert error_of(running) is None


def test_one_more_than_may_wait_is_refused_and_the_others_are_served(
    generate: "TritonPythonModel", scripted: Scripted
) -> None:
    scripted.hooks["text"] = gate = Gate()
    requests = [request() for _ in range(5)]
    start(generate, *requests)
    for refused in requests[2:]:
        wait_for_end(refused)
        error = error_of(refused)
        assert error is not None
        assert error.code == "queue_full"
    gate.open()
    for served in requests[:2]:
        wait_for_end(served)
        assert error_of(served) is None


def test_a_job_that_does_not_advance_says_each_second_that_it_lives_and_nothing_after_its_end(
    generate: "TritonPythonModel", scripted: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipelines.ensemble import model

    assert model.HEARTBEAT_SECONDS == 1.0
    monkeypatch.setattr(model, "HEARTBEAT_SECONDS", 0.01)
    scripted.hooks["text"] = gate = Gate()
    fifth = threading.Event()
    made = request(before=lambda number, flags: fifth.set() if number == 5 else None)
    start(generate, made)
    gate.wait()
    assert fifth.wait(SECONDS), "no heartbeat"
    gate.open()
    wait_for_end(made)
    assert error_of(made) is None
    sent = len(made.sender.sent)
    time.sleep(0.2)  # twenty heartbeats
    assert (len(made.sender.sent), made.sender.refused) == (sent, 0)


def test_unloading_the_model_ends_what_it_still_does(generate: "TritonPythonModel", scripted: Scripted) -> None:
    scripted.hooks["step"] = gate = Gate()
    running, waiting = request(), request()
    start(generate, running, waiting)
    gate.wait()
    generate.finalize()
    for one in (running, waiting):
        wait_for_end(one)
        assert error_of(one) is not None
    assert gate.stopped.is_set()
    wait_until(lambda: all(thread.name != "jobs" for thread in threading.enumerate()))
