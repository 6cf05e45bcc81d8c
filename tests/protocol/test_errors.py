"""Errors keep their kind, message and field across Triton's one line of text."""

import pytest

from protocol.errors import (
    Cancelled,
    DeadlineExceeded,
    InvalidRequest,
    ModelFailed,
    ModelNotFound,
    PipelineError,
    QueueFull,
)


@pytest.mark.parametrize("kind", [InvalidRequest, ModelNotFound, QueueFull, DeadlineExceeded, Cancelled, ModelFailed])
@pytest.mark.parametrize("field", [None, "num_frames"])
def test_an_error_survives_the_wire(kind: type[PipelineError], field: str | None) -> None:
    sent = kind("must be at most 161: got 165\nand more", field)

    received = PipelineError.from_text(f"in ensemble 'generate', {sent.to_text()}")

    assert type(received) is kind
    assert received is not None
    assert (received.message, received.field) == (sent.message, field)


@pytest.mark.parametrize("text", ["Stub process 'generate_0_0' is not healthy.", "", "unknown_code: something"])
def test_other_text_is_not_taken_for_an_error_of_ours(text: str) -> None:
    assert PipelineError.from_text(text) is None
