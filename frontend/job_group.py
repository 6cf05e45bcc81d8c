"""The jobs of one request, run at the same time."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from protocol.sampling import AnySpec

T = TypeVar("T")


async def run_together(
    make: Callable[[AnySpec, str], Coroutine[Any, Any, T]], jobs: tuple[AnySpec, ...], request_id: str
) -> list[T]:
    """The results of `make(params, job_id)` for each of `jobs`, in their order.

    A lone job has the id of its request, several have it numbered from 0. When one fails, the others are cancelled and
    its error is raised.
    """
    ids = [request_id] if len(jobs) == 1 else [f"{request_id}-{i}" for i in range(len(jobs))]
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(make(params, job_id)) for params, job_id in zip(jobs, ids, strict=True)]
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]
