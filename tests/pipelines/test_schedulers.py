from typing import Any

import pytest
import torch
from diffusers.pipelines.qwenimage.pipeline_qwenimage import calculate_shift
from diffusers.schedulers.scheduling_flow_match_euler_discrete import FlowMatchEulerDiscreteScheduler

from pipelines.schedulers import make_dynamic_scheduler, make_scheduler, offered_solvers
from protocol.sampling import Solver

CONFIG = {
    "use_dynamic_shifting": True,
    "base_image_seq_len": 256,
    "max_image_seq_len": 8192,
    "base_shift": 0.5,
    "max_shift": 0.9,
    "shift_terminal": 0.02,
}


UNIPC = {
    "_class_name": "UniPCMultistepScheduler",
    "num_train_timesteps": 1000,
    "prediction_type": "flow_prediction",
    "use_flow_sigmas": True,
    "solver_order": 3,
}
EULER = {
    "_class_name": "FlowMatchEulerDiscreteScheduler",
    "num_train_timesteps": 1000,
    "shift": 3.0,
    "use_dynamic_shifting": True,
}
BARE_EULER = {"_class_name": "FlowMatchEulerDiscreteScheduler", "num_train_timesteps": 500}


@pytest.mark.parametrize("config", [UNIPC, EULER, BARE_EULER], ids=["unipc", "euler", "bare euler"])
@pytest.mark.parametrize("solver", ["unipc", "euler"])
def test_a_solver_solves_the_flow_whichever_scheduler_the_checkpoint_has(
    config: dict[str, Any], solver: Solver
) -> None:
    """For a flow that goes straight from noise to data every solver ends there."""
    noise, data = torch.randn(2, 1, 4, 8)
    scheduler = make_scheduler(config, solver, 5.0, 8)
    latents = noise
    for timestep in scheduler.timesteps:
        latents = scheduler.step(noise - data, timestep, latents, return_dict=False)[0]
    torch.testing.assert_close(latents, data, rtol=0, atol=1e-4)
    sigmas = scheduler.sigmas[:-1]
    straight = (sigmas / (5 - 4 * sigmas)).double()  # the shift undone
    assert float(sigmas[0]) == pytest.approx(1, abs=2e-3)
    assert float(straight.diff().std()) < 1e-2
    assert float(scheduler.timesteps[0]) == pytest.approx(config["num_train_timesteps"] * float(sigmas[0]), abs=1)


def test_what_a_checkpoint_says_of_its_own_solver_is_kept() -> None:
    assert make_scheduler(UNIPC, "unipc", 5.0, 8).config.solver_order == 3
    assert make_scheduler(EULER, "unipc", 5.0, 8).config.solver_order == 2


@pytest.mark.parametrize(
    ("config", "offered"),
    [
        (UNIPC, ("unipc", "euler")),
        (EULER, ("unipc", "euler")),
        ({**UNIPC, "solver_type": "bh1"}, ("euler",)),
        ({**UNIPC, "prediction_type": "epsilon"}, ("unipc", "euler")),  # set right: the model's is a flow
        ({**EULER, "invert_sigmas": True}, ("unipc",)),
        ({**EULER, "stochastic_sampling": True}, ("unipc",)),
        ({**EULER, "use_karras_sigmas": True, "use_beta_sigmas": True}, ("unipc",)),
        ({**UNIPC, "num_train_timesteps": "many"}, ()),
    ],
    ids=["unipc", "euler", "bh1", "epsilon", "inverted", "stochastic", "contradicting", "of no type"],
)
def test_a_solver_is_offered_only_where_it_is_right(config: dict[str, Any], offered: tuple[Solver, ...]) -> None:
    assert offered_solvers(config) == offered


@pytest.mark.parametrize("tokens", [1, 256, 3000, 4096, 8192, 20000])
def test_the_shift_of_a_size_is_diffusers(tokens: int) -> None:
    reference = FlowMatchEulerDiscreteScheduler.from_config(CONFIG)
    mu = calculate_shift(tokens, 256, 8192, 0.5, 0.9)
    reference.set_timesteps(sigmas=[1.0, 0.75, 0.5, 0.25], mu=mu)
    assert make_dynamic_scheduler(CONFIG, tokens, 4).sigmas.tolist() == reference.sigmas.tolist()
