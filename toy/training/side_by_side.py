"""Stages that do not need each other run in processes of their own, on one CPU core each."""

import logging
from collections.abc import Callable, Sequence
from multiprocessing import get_context

import torch

from toy.training.errors import TrainingError

Task = Callable[[], None]
"""something that goes through pickle: a `partial` of a module's function"""


def run_side_by_side(tasks: Sequence[Task]) -> None:
    """Runs all tasks at the same time and waits for all.

    Raises:
        TrainingError: one failed; the others have been stopped.
    """
    context = get_context("spawn")
    level = logging.getLogger().getEffectiveLevel()
    processes = [context.Process(target=_run, args=(level, task)) for task in tasks]
    for process in processes:
        process.start()
    try:
        while running := [process for process in processes if process.is_alive()]:
            running[0].join(timeout=1)
            if failed := [process for process in processes if process.exitcode]:
                raise TrainingError(f"a stage ended with exit code {failed[0].exitcode}; its error is above")
    finally:
        for process in processes:
            process.terminate()
            process.join()


def start_log(level: int = logging.INFO) -> None:
    """Progress to standard error, with the time."""
    logging.basicConfig(level=level, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")


def _run(level: int, task: Task) -> None:
    start_log(level)
    torch.set_num_threads(1)
    task()
