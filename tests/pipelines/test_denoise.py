"""What each step takes the finished latents to be, as diffusers' schedulers compute it."""

import pytest
import torch

from pipelines.denoise import Estimate, denoise
from pipelines.solver_state import SolverState
from tests.pipelines.test_checkpoint import NOISE, SOLVERS, STEPS, Sampled, as_they_are

DATA = torch.full_like(NOISE, 0.3)


class Shown(Sampled):
    """Sampled, with the estimates."""

    def __init__(self) -> None:
        super().__init__()
        self.estimates: list[torch.Tensor | None] = []
        self.predictions: list[torch.Tensor] = []

    async def velocity(self, latents: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        self.predictions.append(await super().velocity(latents, timestep))
        return self.predictions[-1]

    async def after_step(self, state: SolverState, estimate: Estimate | None) -> None:
        await super().after_step(state, estimate)
        self.estimates.append(None if estimate is None else estimate())


@pytest.mark.parametrize("solver", SOLVERS)
async def test_estimates_change_nothing(solver: str) -> None:
    shown, plain = Shown(), Sampled()
    for sampled in (shown, plain):
        sampled.latents = await denoise(NOISE, SOLVERS[solver](), sampled.velocity, as_they_are, sampled.after_step)
    assert torch.equal(shown.latents, plain.latents)
    assert shown.estimates[0] is None
    assert len(shown.estimates) == STEPS + 1


@pytest.mark.parametrize("solver", [solver for solver in SOLVERS if solver.startswith("unipc")])
async def test_an_estimate_is_what_unipc_makes_of_the_prediction(solver: str) -> None:
    shown, scheduler = Shown(), SOLVERS[solver]()
    await denoise(NOISE, scheduler, shown.velocity, as_they_are, shown.after_step)
    for state, estimate in zip(shown.states[1:], shown.estimates[1:], strict=True):
        assert estimate is not None
        torch.testing.assert_close(estimate, state.outputs[-1], rtol=0, atol=1e-6)


@pytest.mark.parametrize("solver", ["euler", "dynamic euler"])
async def test_an_estimate_is_where_one_step_of_euler_to_the_end_leads(solver: str) -> None:
    shown, scheduler = Shown(), SOLVERS[solver]()
    await denoise(NOISE, scheduler, shown.velocity, as_they_are, shown.after_step)
    for step, prediction in enumerate(shown.predictions):
        other = SOLVERS[solver]()
        other.sigmas[step + 1] = 0.0
        other.set_begin_index(step)
        latents = shown.states[step].latents
        expected = other.step(prediction, other.timesteps[step], latents, return_dict=False)[0]
        torch.testing.assert_close(shown.estimates[step + 1], expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("solver", SOLVERS)
async def test_on_a_straight_flow_every_estimate_is_the_data(solver: str) -> None:
    async def straight(latents: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        return NOISE - DATA

    shown = Shown()
    latents = await denoise(NOISE, SOLVERS[solver](), straight, lambda found: 2 * found, shown.after_step)
    for estimate in shown.estimates[1:]:
        torch.testing.assert_close(estimate, 2 * DATA, rtol=0, atol=1e-4)
    # UniPC divides by zero at the end of a straight flow where it keeps its order
    torch.testing.assert_close(latents, 2 * shown.states[-1].latents, rtol=0, atol=0, equal_nan=True)


async def test_an_estimate_of_a_job_that_goes_on_is_the_same() -> None:
    whole, rest = Shown(), Shown()
    for sampled in (whole, rest):
        resume = whole.states[3] if sampled is rest else None
        await denoise(NOISE, SOLVERS["euler"](), sampled.velocity, as_they_are, sampled.after_step, resume)
    assert rest.estimates[0] is None
    for later, expected in zip(rest.estimates[1:], whole.estimates[4:], strict=True):
        assert later is not None
        assert expected is not None
        assert torch.equal(later, expected)
