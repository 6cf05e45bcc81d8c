"""Errors keep their kind, message and field on their way to the client."""

import pytest

from protocol.errors import (
    BY_CODE,
    Cancelled,
    DeadlineExceeded,
    InvalidRequest,
    ModelAway,
    ModelFailed,
    ModelNotFound,
    PipelineError,
    QueueFull,
)
from protocol.events import Failed, read_event


def received(sent: PipelineError) -> PipelineError:
    """The error that a client reads."""
    event = read_event(Failed.of(sent).to_json())
    assert isinstance(event, Failed)
    return event.error()


@pytest.mark.parametrize("kind", [InvalidRequest, ModelNotFound, QueueFull, DeadlineExceeded, Cancelled, ModelFailed])
@pytest.mark.parametrize("field", [None, "num_frames"])
@pytest.mark.parametrize(
    "message",
    [
        "must be at most 161: got 165",
        "in ensemble 'generate', message: queue_full: 8 jobs run",
        "invalid_request[seed]: not an error of its own",
        '{"type": "done"}',
        "",
    ],
)
def test_an_error_survives_the_wire(kind: type[PipelineError], field: str | None, message: str) -> None:
    error = received(kind(message, field))

    assert type(error) is kind
    assert (error.message, error.field) == (message, field)


def test_every_error_that_a_client_can_tell_apart_is_read_back() -> None:
    assert set(BY_CODE.values()) == set(PipelineError.__subclasses__())


def test_a_model_that_is_away_has_failed() -> None:
    assert type(received(ModelAway("its process is gone"))) is ModelFailed


def test_a_fault_of_ours_has_no_kind() -> None:
    assert type(received(PipelineError("KeyError: 'x'"))) is PipelineError
    assert type(Failed(code="of_another_release", message="x").error()) is PipelineError


def test_what_is_said_is_printable_and_not_too_long() -> None:
    error = received(InvalidRequest("\x1b[2J" + "x" * 10_000, "\n" + "y" * 10_000))
    assert error.message.startswith(r"\x1b[2Jxxx")
    assert len(error.message) < 4_100
    assert error.field is not None
    assert error.field.startswith(r"\nyyy")
    assert len(error.field) < 250


def test_a_log_line_has_code_and_field() -> None:
    assert InvalidRequest("must be positive", "seed").log_line == "invalid_request[seed]: must be positive"
    assert QueueFull("8 jobs run").log_line == "queue_full: 8 jobs run"
