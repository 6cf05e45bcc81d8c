"""Checkpoints as bytes, and every solver going on from one."""

import random
from collections.abc import Callable
from typing import Any

import pytest
import torch

from pipelines.checkpoint import read_checkpoint, write_checkpoint
from pipelines.denoise import Estimate, denoise
from pipelines.schedulers import make_dynamic_scheduler, make_scheduler
from pipelines.solver_state import SolverState
from protocol.errors import InvalidRequest
from tests.pipelines.test_schedulers import BARE_EULER, CONFIG, EULER, UNIPC

STEPS = 7
NOISE = torch.randn(1, 2, 3, 4, 5, generator=torch.Generator().manual_seed(1))
IDENTITY = "the same request"


def unipc(order: int) -> Any:
    return make_scheduler({**UNIPC, "solver_order": order, "disable_corrector": [1]}, "unipc", 5.0, STEPS)


SOLVERS: dict[str, Callable[[], Any]] = {
    "unipc of order 1": lambda: unipc(1),
    "unipc of order 2": lambda: unipc(2),
    "unipc of order 3": lambda: unipc(3),
    "unipc to the end": lambda: make_scheduler(
        {**UNIPC, "solver_order": 2, "lower_order_final": False}, "unipc", 5.0, STEPS
    ),
    "unipc of another's": lambda: make_scheduler(EULER, "unipc", 5.0, STEPS),
    "euler": lambda: make_scheduler(BARE_EULER, "euler", 3.0, STEPS),
    "dynamic euler": lambda: make_dynamic_scheduler(CONFIG, 1024, STEPS),
}


class Sampled:
    """The states and the result of sampling with a model that is no straight line."""

    def __init__(self) -> None:
        self.states: list[SolverState] = []
        self.evaluations = 0
        self.latents = NOISE

    async def velocity(self, latents: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        self.evaluations += 1
        return torch.sin(3 * latents) + latents * float(timestep) / 500

    async def after_step(self, state: SolverState, estimate: Estimate | None) -> None:
        self.states.append(state)


def as_they_are(latents: torch.Tensor) -> torch.Tensor:
    return latents


async def sample(scheduler: Any, resume: SolverState | None = None) -> Sampled:
    sampled = Sampled()
    sampled.latents = await denoise(NOISE, scheduler, sampled.velocity, as_they_are, sampled.after_step, resume)
    return sampled


@pytest.mark.parametrize("solver", SOLVERS)
async def test_what_goes_on_from_a_checkpoint_is_the_same_bit_by_bit(solver: str) -> None:
    whole = await sample(SOLVERS[solver]())
    assert [state.steps_done for state in whole.states] == list(range(STEPS + 1))
    for state in whole.states:
        kept = read_checkpoint(write_checkpoint(state, IDENTITY), IDENTITY)
        rest = await sample(SOLVERS[solver](), kept)
        assert rest.evaluations == STEPS - state.steps_done
        assert torch.equal(rest.latents, whole.latents)
        for later, expected in zip(rest.states, whole.states[state.steps_done :], strict=True):
            assert (later.steps_done, later.order) == (expected.steps_done, expected.order)
            assert all(map(torch.equal, later._tensors, expected._tensors))


async def checkpoint(solver: str = "unipc of order 2", steps_done: int = 3) -> bytes:
    return write_checkpoint((await sample(SOLVERS[solver]())).states[steps_done], IDENTITY)


async def test_a_checkpoint_of_another_request_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="of another request, model or release") as raised:
        read_checkpoint(await checkpoint(), "another request")
    assert raised.value.field == "resume"


async def test_what_is_damaged_is_refused() -> None:
    content = await checkpoint()
    chance = random.Random(15)
    damaged = [content[:length] for length in (0, 1, 7, 8, 9, 100, len(content) // 2, len(content) - 1)]
    damaged += [content + b"\0", b"\xff" * 8 + content[8:], chance.randbytes(len(content)), b"\0" * 64]
    for _ in range(300):
        at = chance.randrange(len(content))
        damaged.append(content[:at] + bytes([content[at] ^ 1 << chance.randrange(8)]) + content[at + 1 :])
    for one in damaged:
        with pytest.raises(InvalidRequest) as raised:
            read_checkpoint(one, IDENTITY)
        assert raised.value.field == "resume"


LATENTS = torch.zeros_like(NOISE)


@pytest.mark.parametrize(
    ("solver", "state"),
    [
        ("euler", SolverState(STEPS + 1, LATENTS)),
        ("euler", SolverState(-1, LATENTS)),
        ("euler", SolverState(1, torch.zeros(1, 2, 3))),
        ("euler", SolverState(1, LATENTS.double())),
        ("euler", SolverState(1, LATENTS, (LATENTS,), LATENTS, 1)),
        ("unipc of order 2", SolverState(3, LATENTS)),
        ("unipc of order 2", SolverState(3, LATENTS, (LATENTS,), LATENTS, 2)),
        ("unipc of order 2", SolverState(3, LATENTS, (LATENTS, LATENTS), None, 2)),
        ("unipc of order 2", SolverState(3, LATENTS, (LATENTS, LATENTS), LATENTS, 3)),
        ("unipc of order 2", SolverState(3, LATENTS, (LATENTS, LATENTS), LATENTS, 0)),
        ("unipc of order 2", SolverState(3, LATENTS, (LATENTS, LATENTS[:, :1]), LATENTS, 2)),
    ],
)
async def test_a_state_that_is_none_of_the_solver_is_refused(solver: str, state: SolverState) -> None:
    with pytest.raises(InvalidRequest, match="nothing can go on from it") as raised:
        await sample(SOLVERS[solver](), state)
    assert raised.value.field == "resume"


async def test_a_checkpoint_holds_no_more_than_the_steps_to_come_need() -> None:
    """Latents, two predictions and one sample for UniPC; for Euler the latents alone."""
    for solver, copies in (("unipc of order 2", 4), ("euler", 1)):
        content = await checkpoint(solver)
        assert copies * NOISE.nbytes < len(content) < copies * NOISE.nbytes + 1500
