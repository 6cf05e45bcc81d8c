"""Merges the transformer evaluations that wait into one call, and shares each model's time fairly.

Jobs submit one row per guidance branch and denoising step. Rows of the same transformer, shapes, dtypes and adapters
form a group and go into one batch, whatever step they are at, because the timestep is a per-row input. Triton's own
dynamic batcher cannot do this: it looks for company only while a request waits, and jobs that arrive while a step runs
stay out of phase.

A model computes one call at a time. Which group is next is decided by start-time fair queuing (Goyal, Vin and Cheng,
1996): each group is charged the seconds that its calls took per job, and the one that was charged least goes first. So
the many short steps of a small video all fit between two long steps of a large one, and the large one still gets its
share. Calls are kept short as well: rows of large latents go one by one.
"""

import asyncio
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import torch

from pipelines.runner import Inputs, Shared, Tensors
from protocol.errors import ModelAway, ModelFailed

Key = tuple[object, ...]
Call = Callable[[str, Inputs], Awaitable[torch.Tensor]]
"""Evaluates a model on a batch; returns one row of output per row of input."""

LATENTS = "hidden_states"
"""the row tensor whose size decides how many rows a call takes"""
REMEMBERED_SECONDS = 60.0
"""for how long a group that nothing waits in keeps what it was charged"""


@dataclass(eq=False)
class _Submission:
    """The rows of one job for one step, and where their result goes."""

    inputs: Tensors
    shared: Shared
    rows: int
    result: asyncio.Future[torch.Tensor]
    outputs: list[torch.Tensor] = field(default_factory=list)
    """of the rows evaluated so far"""
    call: "_RunningCall | None" = None
    """what computes rows of it now"""

    @property
    def rows_done(self) -> int:
        return sum(len(output) for output in self.outputs)

    @property
    def rows_left(self) -> int:
        return self.rows - self.rows_done

    def take(self, count: int) -> Tensors:
        """The inputs of the next `count` rows."""
        if count == self.rows:
            return self.inputs
        start = self.rows_done
        return {name: tensor[start : start + count] for name, tensor in self.inputs.items()}

    def add(self, output: torch.Tensor) -> None:
        """Take the output of the next rows; the result is set with the last of them."""
        self.outputs.append(output)
        if self.rows_left == 0 and not self.result.done():
            self.result.set_result(output if len(self.outputs) == 1 else torch.cat(self.outputs))

    def fail(self, error: Exception) -> None:
        if not self.result.done():
            self.result.set_exception(error)


@dataclass(frozen=True, eq=False)
class _RunningCall:
    """One call to a model, and whose rows are in it."""

    task: asyncio.Future[torch.Tensor]
    batch: Mapping[_Submission, int]

    async def end(self) -> None:
        """Returns when it has ended; it is told to, if nobody waits for its output any more."""
        if all(submission.result.done() for submission in self.batch):
            self.task.cancel()
        await asyncio.wait({self.task})


@dataclass(eq=False)
class _Group:
    """Submissions that may share a call."""

    max_rows: int
    """of one call"""
    charged: float
    """virtual start time of its next call: seconds per job"""
    waiting: deque[_Submission] = field(default_factory=deque)
    returning: int = 0
    """jobs of its last call that are expected back with their next step"""
    used_at: float = 0.0


class StepBatcher:
    """One worker per model; it lives only while something waits for the model.

    Args:
        call: evaluates one batch.
        max_rows: rows of one call at most.
        rows_of: by model, where it takes fewer; may change.
        max_elements: latent values of one call at most; a single row may have more. A submission with more rows than
            this allows is evaluated in several calls, between which others have their turn.
        gather_seconds: after a call, how long to wait for its jobs to come back with their next step, counted anew
            from each that does. Jobs need a scheduler step in between, which is short.
        clock: seconds.
    """

    def __init__(
        self,
        call: Call,
        max_rows: int,
        max_elements: int = 2**62,
        gather_seconds: float = 0.005,
        clock: Callable[[], float] = time.monotonic,
        rows_of: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        self._call = call
        self._max_rows = max_rows
        self._rows_of = rows_of
        self._max_elements = max_elements
        self._gather_seconds = gather_seconds
        self._clock = clock
        self._models: dict[str, _ModelQueue] = {}
        self._workers: set[asyncio.Task[None]] = set()

    async def evaluate(
        self,
        model: str,
        rows: Tensors,
        shared: Shared = Shared(),  # noqa: B008 (frozen)
    ) -> torch.Tensor:
        """Evaluate `model` on these rows, together with whatever else waits.

        Where this is cancelled it ends once nothing computes for it any more: at once while the rows wait, else with
        the call that they are in.

        Args:
            rows: tensors of any dtype, on any device, whose first axis is the row; nobody may write to them meanwhile.
            shared: inputs of the whole call; only rows with an equal key go into it.

        Returns:
            The model's output, row by row in the order submitted.

        Raises:
            ModelFailed: the model failed on these rows (not merely on rows that shared their batch).
        """
        latents = rows[LATENTS]
        key = (shared.key, *((name, x.dtype, x.device, x.shape[1:]) for name, x in sorted(rows.items())))
        submission = _Submission(rows, shared, len(latents), asyncio.get_running_loop().create_future())
        queue = self._models.setdefault(model, _ModelQueue(self._gather_seconds, self._clock))
        queue.add(key, submission, self._rows_at_once(model, latents))
        if not queue.has_worker:
            queue.has_worker = True
            worker = asyncio.create_task(self._work(model, queue))
            self._workers.add(worker)
            worker.add_done_callback(self._workers.discard)
        try:
            return await submission.result
        except asyncio.CancelledError:
            if submission.call is not None:
                await submission.call.end()
            raise

    def _rows_at_once(self, model: str, latents: torch.Tensor) -> int:
        max_rows = min(self._max_rows, self._rows_of.get(model, self._max_rows))
        return max(1, min(max_rows, self._max_elements // max(1, math.prod(latents.shape[1:]))))

    async def _work(self, model: str, queue: "_ModelQueue") -> None:
        try:
            while (group := await queue.next_group()) is not None:
                batch = queue.take(group)
                if batch:
                    started = self._clock()
                    await self._run(model, batch)
                    queue.charge(group, self._clock() - started, list(batch))
        finally:
            queue.has_worker = False

    async def _run(self, model: str, batch: Mapping[_Submission, int]) -> None:
        """Evaluate a number of rows of each submission in one call."""
        call = _RunningCall(asyncio.ensure_future(self._call(model, _concatenate(batch))), batch)
        for submission in batch:
            submission.call = call
        try:
            output = await call.task
            if len(output) != sum(batch.values()):
                raise ModelFailed(f"{model} returned {len(output)} rows for {sum(batch.values())}")
        except asyncio.CancelledError:
            if not call.task.cancelled():
                raise
            # everybody has left
        except ModelAway as error:  # it is so for every member
            for submission in batch:
                submission.fail(error)
        except Exception as error:
            if len(batch) == 1:
                next(iter(batch)).fail(error)
                return
            for submission, rows in batch.items():  # find out whose rows failed: the others' jobs go on
                if not submission.result.done():
                    await self._run(model, {submission: rows})
        else:
            start = 0
            for submission, rows in batch.items():
                submission.add(output[start : start + rows])
                start += rows
        finally:
            for submission in batch:
                submission.call = None


class _ModelQueue:
    """What waits for one model, and whose turn it is."""

    def __init__(self, gather_seconds: float, clock: Callable[[], float]) -> None:
        self._gather_seconds = gather_seconds
        self._clock = clock
        self._groups: dict[Key, _Group] = {}
        self._virtual_time = 0.0
        """`charged` of the group that was served last: where newcomers start"""
        self._arrived = asyncio.Event()
        self.has_worker = False

    def add(self, key: Key, submission: _Submission, max_rows: int) -> None:
        now = self._clock()
        self._forget(now)
        group = self._groups.setdefault(key, _Group(max_rows, self._virtual_time))
        group.used_at = now
        if not group.waiting:
            group.charged = max(group.charged, self._virtual_time)  # time unused is not saved up
        group.returning = max(0, group.returning - 1)
        group.waiting.append(submission)
        self._arrived.set()

    async def next_group(self) -> _Group | None:
        """The group that was charged least, once its jobs are back or their time is over; None when nothing waits."""
        while True:
            self._arrived.clear()
            group = min(self._in_use(), key=lambda group: group.charged, default=None)
            if group is None or group.returning == 0:
                break
            try:
                await asyncio.wait_for(self._arrived.wait(), self._gather_seconds)
            except TimeoutError:
                group.returning = 0
        if group is not None:
            self._virtual_time = group.charged
        return group

    def take(self, group: _Group) -> dict[_Submission, int]:
        """The next submissions of a group, and how many rows of each fit into a call."""
        batch: dict[_Submission, int] = {}
        room = group.max_rows
        while group.waiting:
            submission = group.waiting[0]
            if submission.result.done():  # a job that was cancelled while it waited has no use for its rows
                group.waiting.popleft()
                continue
            if submission.rows_left > room and batch:
                break
            rows = min(submission.rows_left, room)
            batch[submission] = rows
            room -= rows
            if rows == submission.rows_left:
                group.waiting.popleft()
            if room == 0:
                break
        group.used_at = math.inf if batch else self._clock()  # in use until it is charged
        return batch

    def charge(self, group: _Group, seconds: float, batch: list[_Submission]) -> None:
        """Account for a call, after which the jobs whose rows are all done come back with their next step."""
        for other in self._groups.values():
            other.returning = 0  # its jobs had all of this call to come back
        group.charged += seconds / len(batch)
        group.returning = sum(submission.rows_left == 0 for submission in batch)
        group.used_at = self._clock()

    def _in_use(self) -> Iterator[_Group]:
        return (group for group in self._groups.values() if group.waiting or group.returning)

    def _forget(self, now: float) -> None:
        idle = [
            key
            for key, group in self._groups.items()
            if not group.waiting and not group.returning and now - group.used_at > REMEMBERED_SECONDS
        ]
        for key in idle:
            del self._groups[key]


def _concatenate(batch: Mapping[_Submission, int]) -> Inputs:
    parts = [submission.take(rows) for submission, rows in batch.items()]
    shared = next(iter(batch)).shared.inputs
    if len(parts) == 1:
        return {**parts[0], **shared}
    return {**{name: torch.cat([part[name] for part in parts]) for name in parts[0]}, **shared}
