"""The step batcher: what waits is evaluated together, in job order, and nobody pays for another's failure."""

import asyncio

import numpy as np
import pytest

from pipelines.errors import ModelFailed
from pipelines.runner import Array, Shared, Tensors
from pipelines.step_batcher import StepBatcher

POISON = -1.0


class Transformer:
    """Adds a row's timestep to it, slowly, and remembers the batches that it saw."""

    def __init__(self, seconds: float = 0.02) -> None:
        self.seconds = seconds
        self.batches: list[tuple[str, int]] = []

    async def __call__(self, model: str, inputs: Tensors) -> Array:
        x, timestep = inputs["hidden_states"], inputs["timestep"]
        self.batches.append((model, len(x)))
        await asyncio.sleep(self.seconds)
        if (timestep == POISON).any():
            raise ModelFailed("these rows cannot be evaluated")
        return x + timestep[:, None]


def rows(value: float, timestep: float, count: int = 1, width: int = 3) -> dict[str, Array]:
    return {
        "hidden_states": np.full((count, width), value, np.float32),
        "timestep": np.full(count, timestep, np.float32),
    }


async def sample(batcher: StepBatcher, job: int, steps: int, model: str = "m") -> list[float]:
    """A job whose every step depends on the one before."""
    x, trace = float(job), []
    for step in range(steps):
        x = float((await batcher.evaluate(model, rows(x, step, count=2)))[0, 0])
        trace.append(x)
    return trace


async def test_rows_come_back_to_the_job_that_sent_them() -> None:
    batcher = StepBatcher(Transformer(), max_rows=8)

    outputs = await asyncio.gather(*(batcher.evaluate("m", rows(value, 100, count=2)) for value in range(4)))

    for value, output in enumerate(outputs):
        np.testing.assert_array_equal(output, np.full((2, 3), value + 100, np.float32))


async def test_concurrent_jobs_share_every_batch() -> None:
    transformer = Transformer()
    batcher = StepBatcher(transformer, max_rows=16, gather_seconds=5)

    traces = await asyncio.gather(*(sample(batcher, job, steps=6) for job in range(3)))

    assert traces == [[job + sum(range(step + 1)) for step in range(6)] for job in range(3)]
    assert transformer.batches == [("m", 6)] * 6


async def test_jobs_out_of_phase_fall_into_step() -> None:
    transformer = Transformer(seconds=0.05)
    batcher = StepBatcher(transformer, max_rows=16, gather_seconds=5)

    async def late() -> list[float]:
        while len(transformer.batches) < 2:  # the first job's second step runs
            await asyncio.sleep(0.001)
        return await sample(batcher, 7, steps=6)

    await asyncio.gather(sample(batcher, 0, steps=8), late())

    assert transformer.batches == [("m", 2)] * 2 + [("m", 4)] * 6


async def test_only_equal_models_and_shapes_are_merged() -> None:
    transformer = Transformer()
    batcher = StepBatcher(transformer, max_rows=16)

    await asyncio.gather(
        batcher.evaluate("high", rows(1, 1)),
        batcher.evaluate("low", rows(1, 1)),
        batcher.evaluate("high", rows(1, 1, width=5)),
        batcher.evaluate("high", rows(2, 2)),
    )

    assert sorted(transformer.batches) == [("high", 1), ("high", 2), ("low", 1)]


async def test_a_batch_has_at_most_max_rows_and_those_left_over_go_next() -> None:
    transformer = Transformer()
    batcher = StepBatcher(transformer, max_rows=4)

    outputs = await asyncio.gather(*(batcher.evaluate("m", rows(value, 0, count=2)) for value in range(5)))

    assert [output[0, 0] for output in outputs] == [0, 1, 2, 3, 4]
    assert [count for _, count in transformer.batches] == [4, 4, 2]


async def test_a_failing_job_fails_alone() -> None:
    batcher = StepBatcher(Transformer(), max_rows=8)

    first, failed, last = await asyncio.gather(
        batcher.evaluate("m", rows(1, 5)),
        batcher.evaluate("m", rows(2, POISON)),
        batcher.evaluate("m", rows(3, 5)),
        return_exceptions=True,
    )

    assert isinstance(failed, ModelFailed)
    assert isinstance(first, np.ndarray)
    assert isinstance(last, np.ndarray)
    assert (first[0, 0], last[0, 0]) == (6, 8)


async def test_a_cancelled_job_leaves_the_others_alone_and_is_not_evaluated() -> None:
    transformer = Transformer(seconds=0.05)
    batcher = StepBatcher(transformer, max_rows=8)
    running = asyncio.create_task(batcher.evaluate("m", rows(1, 0)))
    await asyncio.sleep(0.01)
    waiting = [asyncio.create_task(batcher.evaluate("m", rows(value, 0))) for value in (2, 3)]
    await asyncio.sleep(0.01)

    waiting[0].cancel()

    assert (await running)[0, 0] == 1
    assert (await waiting[1])[0, 0] == 3
    with pytest.raises(asyncio.CancelledError):
        await waiting[0]
    assert [count for _, count in transformer.batches] == [1, 1]


async def test_nothing_is_kept_for_shapes_that_are_no_longer_used() -> None:
    batcher = StepBatcher(Transformer(seconds=0), max_rows=8)
    for width in range(1, 6):
        await batcher.evaluate("m", rows(0, 0, width=width))

    await asyncio.sleep(0.05)

    assert not batcher._queues
    assert not batcher._workers


async def test_rows_share_a_call_only_with_rows_whose_shared_inputs_are_equal() -> None:
    seen: list[tuple[int, str]] = []

    async def transformer(model: str, inputs: Tensors) -> Array:
        seen.append((len(inputs["hidden_states"]), str(inputs["adapter"])))
        return inputs["hidden_states"]

    def adapter(name: str) -> Shared:
        return Shared(name, {"adapter": np.array(name)})

    batcher = StepBatcher(transformer, max_rows=8)
    await asyncio.gather(*(batcher.evaluate("m", rows(1, 1), adapter(name)) for name in ("ink", "oil", "ink")))
    assert sorted(seen) == [(1, "oil"), (2, "ink")]


def test_two_sets_of_shared_inputs_become_one() -> None:
    both = Shared("a", {"x": np.zeros(1)}) | Shared("b", {"y": np.ones(1)})
    assert (both.key, sorted(both.tensors)) == (("a", "b"), ["x", "y"])
