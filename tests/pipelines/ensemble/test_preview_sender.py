"""Which previews `generate` sends, and that a job is none the slower, and no less safe, for it."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from pipelines.ensemble.preview_sender import PreviewSchedule, PreviewSender
from protocol.events import Failed, Preview, read_event
from runtime.latent_colours import LatentColours

from .backend_utils import InferenceRequest
from .conftest import Scripted, request
from .slow_client import SlowClient
from .test_model import error_of, run

if TYPE_CHECKING:
    from pipelines.ensemble.model import TritonPythonModel

COLOURS = LatentColours(weights=((0.01, 0.01, 0.01),), bias=(0.0, 0.0, 0.0))
EVERY_STEP = 1e-9
NEVER_AGAIN = 1e9
STEPS = 8


class Client(SlowClient):
    """Takes previews."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: list[tuple[int, int]] = []
        """the step that was told, and the one that was drawn"""
        self.computed: list[int] = []

    async def take(self, event: Preview, pixels: NDArray[np.uint8]) -> None:
        await self.reached()
        assert (event.steps, pixels.shape) == (STEPS, (2, 3, 3))
        self.shown.append((event.steps_done, round(int(pixels[0, 0, 0]) / 2.55)))

    def sender(self, schedule: PreviewSchedule) -> PreviewSender:
        return PreviewSender(schedule, STEPS, COLOURS, self.take, self.warnings.append)

    def estimate(self, step: int) -> Callable[[], torch.Tensor]:
        def compute() -> torch.Tensor:
            self.computed.append(step)
            return torch.full((1, 1, 1, 2, 3), float(step))

        return compute

    async def sample(self, schedule: PreviewSchedule, first: int = 1) -> None:
        sender = self.sender(schedule)
        for step in range(first, STEPS + 1):
            sender.offer(step, self.estimate(step))
            await asyncio.sleep(0.02)
        await sender.finish()
        await sender.close()


@pytest.mark.parametrize(
    ("count", "of", "steps"),
    [
        (0, 8, []),
        (1, 8, [4]),
        (2, 8, [2, 5]),
        (3, 8, [2, 4, 6]),
        (3, 50, [12, 25, 37]),
        (3, 4, [1, 2, 3]),
        (3, 3, [1, 2, 3]),
        (3, 2, [1, 2]),
        (1, 1, [1]),
        (0, 0, []),
    ],
)
def test_so_many_as_are_asked_for_are_spread_over_the_steps(count: int, of: int, steps: list[int]) -> None:
    assert sorted(PreviewSchedule(count).steps(of)) == steps


async def test_each_shows_what_its_step_estimates_and_no_other_is_computed() -> None:
    client = Client()
    await client.sample(PreviewSchedule(3))
    assert client.shown == [(2, 2), (4, 4), (6, 6)]
    assert client.computed == [2, 4, 6]


async def test_those_of_steps_before_a_checkpoint_are_not_made_again() -> None:
    client = Client()
    await client.sample(PreviewSchedule(3), first=4)
    assert client.shown == [(4, 4), (6, 6)]


async def test_between_two_there_is_an_interval_and_the_first_comes_at_once() -> None:
    often, once = Client(), Client()
    await often.sample(PreviewSchedule(interval_seconds=EVERY_STEP))
    await once.sample(PreviewSchedule(interval_seconds=NEVER_AGAIN))
    assert [step for step, _ in often.shown] == list(range(1, STEPS + 1))
    assert once.shown == [(1, 1)]


async def test_nothing_is_computed_where_nobody_asks() -> None:
    client = Client()
    await client.sample(PreviewSchedule())
    assert (client.shown, client.computed) == ([], [])


async def test_a_slow_client_gets_the_newest_at_intervals_and_all_that_it_counted() -> None:
    for schedule, expected in (
        (PreviewSchedule(interval_seconds=EVERY_STEP), [1, STEPS]),
        (PreviewSchedule(3), [2, 4, 6]),
    ):
        client = Client()
        client.gate.clear()
        sampling = asyncio.create_task(client.sample(schedule))
        await asyncio.sleep(0.5)  # it does not wait for the client
        client.gate.set()
        await sampling
        assert [step for step, _ in client.shown] == expected


async def test_one_that_cannot_be_sent_is_said_once_and_the_job_goes_on() -> None:
    client = Client()
    client.error = OSError("no shared memory is left")
    await client.sample(PreviewSchedule(interval_seconds=EVERY_STEP))
    assert len(client.warnings) == 1
    assert "no preview is made" in client.warnings[0]
    assert "no shared memory is left" in client.warnings[0]


# In `generate`


def previews(made: InferenceRequest) -> dict[int, NDArray[np.uint8]]:
    """By the steps that are done."""
    found: dict[int, NDArray[np.uint8]] = {}
    for response, _ in made.sender.sent:
        tensors = {tensor.name(): tensor.as_numpy() for tensor in response.output_tensors()}
        event = read_event(tensors["event"][0])
        if isinstance(event, Preview):
            assert event.steps == Scripted.card.defaults.num_inference_steps
            found[event.steps_done] = tensors["preview"]
    return found


@pytest.mark.parametrize("fields", [{"previews": np.int32(16)}, {"preview_seconds": EVERY_STEP}])
def test_a_request_is_sent_what_it_asks_for(
    generate: "TritonPythonModel", scripted: Scripted, fields: dict[str, Any]
) -> None:
    async def wait() -> None:
        await asyncio.sleep(0.02)  # so that each is sent before the next

    scripted.hooks["step"] = scripted.hooks["decode"] = wait
    made = request(sampling_parameters='{"num_inference_steps": 4}', **fields)
    run(generate, made)
    assert error_of(made) is None
    found = [read_event(response.output_tensors()[0].as_numpy()[0]) for response, _ in made.sender.sent]
    assert [event.steps_done for event in found if isinstance(event, Preview)] == [1, 2, 3]


def test_none_is_sent_unless_it_is_asked_for(generate: "TritonPythonModel") -> None:
    made = request()
    run(generate, made)
    assert previews(made) == {}


@pytest.mark.parametrize(
    ("fields", "message", "field"),
    [
        ({"preview_seconds": -1.0}, "must be a number of seconds, or 0 for none, got -1.0", "preview_seconds"),
        ({"previews": np.int32(-1)}, "must be from 0 to 16, got -1", "previews"),
        ({"previews": np.int32(17)}, "must be from 0 to 16, got 17", "previews"),
        (
            {"previews": np.int32(1), "preview_seconds": 1.0},
            "has no meaning beside previews, which says how many there are",
            "preview_seconds",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(
    generate: "TritonPythonModel", fields: dict[str, Any], message: str, field: str
) -> None:
    made = request(**fields)
    run(generate, made)
    assert error_of(made) == Failed(code="invalid_request", message=message, field=field)
