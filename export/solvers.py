"""What a checkpoint's scheduler can do, proved before anything is exported."""

from collections.abc import Mapping
from functools import partial

from export.checkpoint import Checkpoint
from export.errors import CheckpointError
from pipelines.schedulers import make_dynamic_scheduler, offered_solvers, solves_the_flow
from protocol.sampling import Solver

_SOLVERS: Mapping[str, Solver] = {"UniPCMultistepScheduler": "unipc", "FlowMatchEulerDiscreteScheduler": "euler"}
"""scheduler class -> the solver that it is"""


def own_solver(checkpoint: Checkpoint) -> Solver:
    """The solver that the checkpoint's scheduler is.

    Raises:
        CheckpointError: it is one that is not known.
    """
    name = str(checkpoint.config("scheduler").get("_class_name"))
    if name not in _SOLVERS:
        raise CheckpointError(f"{checkpoint.folder}: the scheduler is a {name}; known: {', '.join(_SOLVERS)}")
    return _SOLVERS[name]


def static_solvers(checkpoint: Checkpoint) -> tuple[Solver, ...]:
    """The solvers that the checkpoint can be sampled with, its own and others; the flow shift is the request's.

    Raises:
        CheckpointError: its own is not among them.
    """
    solvers = offered_solvers(checkpoint.config("scheduler"))
    if own_solver(checkpoint) not in solvers:
        raise _does_not_solve(checkpoint)
    return solvers


def check_dynamic_solver(checkpoint: Checkpoint) -> None:
    """For a scheduler whose flow shift follows from the size of the image.

    Raises:
        CheckpointError: it is no such scheduler, or one that cannot be sampled with.
    """
    config = checkpoint.config("scheduler")
    if own_solver(checkpoint) != "euler" or not config.get("use_dynamic_shifting"):
        raise CheckpointError(
            f"{checkpoint.folder}: the scheduler must be a FlowMatchEulerDiscreteScheduler with use_dynamic_shifting"
        )
    for tokens, steps in ((256, 1), (4096, 8)):
        if not solves_the_flow(partial(make_dynamic_scheduler, config, tokens, steps)):
            raise _does_not_solve(checkpoint)


def _does_not_solve(checkpoint: Checkpoint) -> CheckpointError:
    return CheckpointError(
        f"{checkpoint.folder}: the steps that scheduler/scheduler_config.json describes do not lead from noise to "
        "data, or not each time the same way; compare it with the published model's"
    )
