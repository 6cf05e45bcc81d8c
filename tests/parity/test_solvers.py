"""Every solver that a card offers equals diffusers', whichever scheduler the checkpoint came with."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Exported, run_module

from .compared import Compared

SCHEDULERS: dict[str, dict[str, Any]] = {
    "Wan2.2's": {
        "_class_name": "UniPCMultistepScheduler",
        "prediction_type": "flow_prediction",
        "use_flow_sigmas": True,
        "flow_shift": 5.0,
    },
    "UniPC of third order": {
        "_class_name": "UniPCMultistepScheduler",
        "prediction_type": "flow_prediction",
        "use_flow_sigmas": True,
        "flow_shift": 3.0,
        "solver_order": 3,
        "disable_corrector": [0, 1],
    },
    "Euler": {
        "_class_name": "FlowMatchEulerDiscreteScheduler",
        "num_train_timesteps": 1000,
        "shift": 3.0,
        "use_dynamic_shifting": False,
    },
    "Euler without a word": {"_class_name": "FlowMatchEulerDiscreteScheduler"},
}


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_both_solvers_equal_diffusers(scheduler: str, tiny: Callable[[str], Exported], tmp_path: Path) -> None:
    compared = Compared(with_scheduler(tiny("one-expert"), SCHEDULERS[scheduler], tmp_path))
    assert compared.in_process.card.solvers == ("unipc", "euler")
    for solver in compared.in_process.card.solvers:
        compared.assert_equal({"solver": solver, "num_inference_steps": 6})
        compared.assert_equal({"solver": solver, "num_inference_steps": 6, "flow_shift": 8.0})


def with_scheduler(exported: Exported, config: dict[str, Any], folder: Path) -> Exported:
    """The same checkpoint as if it had come with this `scheduler_config.json`, exported anew."""
    checkpoint, repository = folder / "checkpoint", folder / "model_repository"
    shutil.copytree(exported.checkpoint, checkpoint)
    shutil.copytree(exported.repository, repository)
    (checkpoint / "scheduler" / "scheduler_config.json").write_text(json.dumps(config))
    run_module("export", checkpoint, "--to", repository)
    return Exported(checkpoint, repository)
