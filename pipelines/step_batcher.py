"""Merges the transformer evaluations that wait into one call.

Jobs submit one row a guidance branch and denoising step. Rows of the same transformer, shapes and adapters go into
one batch, whatever step they are at, because the timestep is a per-row input. Triton's own dynamic batcher cannot do
this: it looks for company only while a request waits, and jobs that arrive while a step runs stay out of phase.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import numpy as np

from pipelines.runner import Array, Shared, Tensors, float32

Key = tuple[object, ...]
Call = Callable[[str, Tensors], Awaitable[Array]]
"""Evaluates a model on a batch; returns one row of output a row of input."""


@dataclass(frozen=True)
class _Submission:
    """The rows of one job for one step, and where their result goes."""

    inputs: Tensors
    shared: Shared
    rows: int
    result: asyncio.Future[Array]


class StepBatcher:
    """One queue and one worker for each (model, shapes, shared inputs); a worker lives only while its queue is in use.

    Args:
        call: evaluates one batch.
        max_rows: rows of one batch at most. A submission is never split.
        gather_seconds: after a batch, how long to wait for its jobs to come back with their next step, counted anew
            from each that does. Jobs need a scheduler step in between, which is short.
    """

    def __init__(self, call: Call, max_rows: int, gather_seconds: float = 0.005) -> None:
        self._call = call
        self._max_rows = max_rows
        self._gather_seconds = gather_seconds
        self._queues: dict[Key, deque[_Submission]] = {}
        self._arrived: dict[Key, asyncio.Event] = {}
        self._workers: set[asyncio.Task[None]] = set()

    async def evaluate(self, model: str, rows: Tensors, shared: Shared = Shared()) -> Array:  # noqa: B008 (frozen)
        """Evaluate `model` on these rows, together with whatever else waits.

        Args:
            rows: float32 tensors whose first axis is the row.
            shared: inputs of the whole call; only rows with an equal key go into it.

        Returns:
            The model's output, row by row in the order submitted.

        Raises:
            ModelFailed: the model failed on these rows (not merely on rows that shared their batch).
        """
        arrays = {name: float32(array) for name, array in rows.items()}
        count = len(next(iter(arrays.values())))
        key = (model, shared.key, *((name, array.shape[1:]) for name, array in sorted(arrays.items())))
        submission = _Submission(arrays, shared, count, asyncio.get_running_loop().create_future())
        if key not in self._queues:
            self._queues[key] = deque()
            self._arrived[key] = asyncio.Event()
            worker = asyncio.create_task(self._work(model, key))
            self._workers.add(worker)
            worker.add_done_callback(self._workers.discard)
        self._queues[key].append(submission)
        self._arrived[key].set()
        return await submission.result

    async def _work(self, model: str, key: Key) -> None:
        queue = self._queues[key]
        try:
            returning = 0
            while await self._gather(key, returning):
                batch = self._take(queue)
                await self._run(model, batch)
                returning = len(batch)
        finally:
            del self._queues[key], self._arrived[key]

    async def _gather(self, key: Key, returning: int) -> bool:
        """Wait for the jobs of the last batch; False when nobody came within the time and nobody waits."""
        queue, arrived = self._queues[key], self._arrived[key]
        before = len(queue)
        while len(queue) < before + returning:
            arrived.clear()
            try:
                await asyncio.wait_for(arrived.wait(), self._gather_seconds)
            except TimeoutError:
                break
        return bool(queue)

    def _take(self, queue: deque[_Submission]) -> list[_Submission]:
        batch = [queue.popleft()]
        rows = batch[0].rows
        while queue and rows + queue[0].rows <= self._max_rows:
            batch.append(queue.popleft())
            rows += batch[-1].rows
        return batch

    async def _run(self, model: str, batch: list[_Submission]) -> None:
        # A job that was cancelled while it waited has no use for its rows.
        batch = [submission for submission in batch if not submission.result.done()]
        if not batch:
            return
        try:
            output = await self._call(model, _concatenate(batch))
        except Exception as error:
            if len(batch) == 1:
                _fail(batch[0], error)
            else:  # find out whose rows failed: the others' jobs go on
                for submission in batch:
                    await self._run(model, [submission])
            return
        start = 0
        for submission in batch:
            if not submission.result.done():
                submission.result.set_result(output[start : start + submission.rows])
            start += submission.rows


def _concatenate(batch: list[_Submission]) -> dict[str, Array]:
    shared = batch[0].shared.tensors
    if len(batch) == 1:
        return {**batch[0].inputs, **shared}
    return {name: np.concatenate([s.inputs[name] for s in batch]) for name in batch[0].inputs} | dict(shared)


def _fail(submission: _Submission, error: Exception) -> None:
    if not submission.result.done():
        submission.result.set_exception(error)
