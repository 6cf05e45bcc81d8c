"""Which checkpoints `generate` sends, and that a job is none the slower, and no less safe, for it."""

import asyncio
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from pipelines.checkpoint import read_checkpoint
from pipelines.ensemble import checkpoint_sender
from pipelines.ensemble.checkpoint_sender import CheckpointSender
from pipelines.solver_state import SolverState
from protocol.events import Checkpoint, Failed, Progress, read_event
from tests.waiting import until

from .backend_utils import InferenceRequest, Tensor
from .conftest import Scripted, request
from .slow_client import SlowClient
from .test_model import error_of, run

if TYPE_CHECKING:
    from pipelines.ensemble.model import TritonPythonModel

EVERY_STEP = 1e-9
NEVER_AGAIN = 1e9


class Client(SlowClient):
    """Takes parts of checkpoints."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[tuple[Checkpoint, bytes]] = []

    async def take(self, event: Checkpoint, part: NDArray[np.uint8]) -> None:
        await self.reached()
        self.parts.append((event, part.tobytes()))

    def steps(self) -> list[int]:
        """Of each checkpoint that came whole."""
        return [event.steps_done for event, part in self.parts if event.start + len(part) == event.bytes]

    def sender(self, interval_seconds: float = EVERY_STEP, max_bytes: int = 10**6) -> CheckpointSender:
        return CheckpointSender(lambda: "me", 8, interval_seconds, max_bytes, self.take, self.warnings.append)


def state(step: int) -> SolverState:
    return SolverState(step, torch.full((100,), float(step)))


async def test_a_checkpoint_comes_in_parts_that_make_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint_sender, "PART_BYTES", 64)
    client = Client()
    sender = client.sender()
    sender.offer(state(0))
    sender.offer(state(1))
    await until(lambda: client.steps() == [1])
    content = b"".join(part for _, part in client.parts)
    assert [event.start for event, _ in client.parts] == list(range(0, len(content), 64))
    assert torch.equal(read_checkpoint(content, "me").latents, state(1).latents)


async def test_where_a_job_begins_there_is_nothing_to_save() -> None:
    client = Client()
    sender = client.sender()
    sender.offer(state(5))  # it goes on from there
    sender.offer(state(6))
    await until(lambda: client.steps() == [6])


async def test_a_job_that_was_saved_is_saved_after_its_last_step_too(monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client()
    sender = client.sender()
    for step in range(3):
        sender.offer(state(step))
    await until(lambda: client.steps() == [2])
    monkeypatch.setattr(sender, "_interval_seconds", NEVER_AGAIN)
    for step in range(3, 9):
        sender.offer(state(step))
    await until(lambda: client.steps() == [2, 8])


@pytest.mark.parametrize("interval", [0, NEVER_AGAIN])
async def test_a_short_job_and_one_that_asks_for_none_are_not_saved(interval: float) -> None:
    client = Client()
    sender = client.sender(interval)
    for step in range(9):
        sender.offer(state(step))
    await asyncio.sleep(0.05)
    assert (client.parts, client.warnings) == ([], [])


async def test_a_slow_client_gets_the_newest(monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client()
    client.gate.clear()
    sender = client.sender()
    sender.offer(state(0))
    sender.offer(state(1))
    await asyncio.sleep(0)
    for step in range(2, 6):
        sender.offer(state(step))  # and does not wait
    client.gate.set()
    await until(lambda: client.steps()[-1:] == [5])
    assert len(client.steps()) <= 2


async def test_one_that_is_too_large_is_not_made_and_said_once() -> None:
    client = Client()
    sender = client.sender(max_bytes=399)
    for step in range(9):
        sender.offer(state(step))
    assert client.warnings == ["no checkpoint is made: it would have 400 bytes, and max_checkpoint_mib allows 399"]
    assert client.parts == []


async def test_one_that_cannot_be_sent_is_said_once() -> None:
    client = Client()
    client.error = OSError("no shared memory is left")
    sender = client.sender()
    for step in range(9):
        sender.offer(state(step))
        await asyncio.sleep(0)
    await until(lambda: bool(client.warnings))
    sender.offer(state(8))
    await sender.close()
    assert len(client.warnings) == 1
    assert "no shared memory is left" in client.warnings[0]


# In `generate`


def checkpoints(made: InferenceRequest) -> dict[int, bytes]:
    """By the steps that are done."""
    found: dict[int, bytes] = {}
    for response, _ in made.sender.sent:
        tensors = {tensor.name(): tensor.as_numpy() for tensor in response.output_tensors()}
        event = read_event(tensors["event"][0])
        if isinstance(event, Checkpoint):
            found[event.steps_done] = tensors["checkpoint"].tobytes()
    return found


def resuming(content: bytes, **fields: Any) -> InferenceRequest:
    asked = request(sampling_parameters='{"seed": 5}', **fields)
    asked._inputs.append(Tensor("resume", np.frombuffer(content, np.uint8)))
    return asked


@pytest.fixture
def saved(generate: "TritonPythonModel", scripted: Scripted) -> dict[int, bytes]:
    """The checkpoints of a request with seed 5."""

    async def wait() -> None:
        await asyncio.sleep(0.02)  # so that each is sent before the next

    scripted.hooks["step"] = scripted.hooks["decode"] = wait
    made = request(sampling_parameters='{"seed": 5}', checkpoint_seconds=EVERY_STEP)
    run(generate, made)
    assert error_of(made) is None
    found = checkpoints(made)
    assert 2 in found
    return found


def test_a_request_goes_on_from_a_checkpoint_and_counts_the_steps_before_it(
    generate: "TritonPythonModel", saved: dict[int, bytes]
) -> None:
    made = resuming(saved[2])
    run(generate, made)
    assert error_of(made) is None
    events = [read_event(response.output_tensors()[0].as_numpy()[0]) for response, _ in made.sender.sent]
    assert {event.steps_done for event in events if isinstance(event, Progress)} == {2, 3}


def test_none_is_sent_unless_it_is_asked_for(generate: "TritonPythonModel") -> None:
    made = request()
    run(generate, made)
    assert checkpoints(made) == {}


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), float("inf")])
def test_an_interval_that_is_none_is_refused(generate: "TritonPythonModel", seconds: float) -> None:
    made = request(checkpoint_seconds=seconds)
    run(generate, made)
    assert error_of(made) == Failed(
        code="invalid_request",
        message=f"must be a number of seconds, or 0 for none, got {seconds}",
        field="checkpoint_seconds",
    )


def test_a_checkpoint_of_another_request_or_model_is_refused(
    generate: "TritonPythonModel", saved: dict[int, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    others = [resuming(saved[2], prompt="a dog"), resuming(saved[2]), resuming(b""), resuming(saved[2][:-1])]
    run(generate, others[0])
    monkeypatch.setitem(generate._identities, Scripted.card.id, "exported again")
    for other in others[1:]:
        run(generate, other)
    for other in others:
        ended = error_of(other)
        assert ended is not None
        assert (ended.code, ended.field) == ("invalid_request", "resume")
