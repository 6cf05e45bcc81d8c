"""The step batcher: what waits is evaluated together, fairly, and nobody pays for another's failure."""

import asyncio

import numpy as np
import pytest
import torch

from pipelines.runner import Inputs, Shared, Tensors
from pipelines.step_batcher import REMEMBERED_SECONDS, StepBatcher
from protocol.errors import ModelAway, ModelFailed

POISON = -1.0


class Transformer:
    """Adds a row's timestep to it, slowly, and remembers the batches that it saw."""

    def __init__(self, seconds: float = 0.02) -> None:
        self.seconds = seconds
        self.batches: list[tuple[str, int]] = []

    async def __call__(self, model: str, inputs: Inputs) -> torch.Tensor:
        x, timestep = tensor(inputs, "hidden_states"), tensor(inputs, "timestep")
        self.batches.append((model, len(x)))
        await asyncio.sleep(self.seconds)
        if (timestep == POISON).any():
            raise ModelFailed("these rows cannot be evaluated")
        return x + timestep[:, None]


def rows(value: float, timestep: float, count: int = 1, width: int = 3) -> Tensors:
    return {
        "hidden_states": torch.full((count, width), value),
        "timestep": torch.full((count,), timestep),
    }


def tensor(inputs: Inputs, name: str) -> torch.Tensor:
    value = inputs[name]
    assert isinstance(value, torch.Tensor)
    return value


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


async def test_only_equal_dtypes_and_devices_are_merged_and_both_are_kept() -> None:
    seen: list[tuple[torch.dtype, str, int]] = []

    async def transformer(model: str, inputs: Inputs) -> torch.Tensor:
        x = tensor(inputs, "hidden_states")
        seen.append((x.dtype, x.device.type, len(x)))
        return x + 1

    kinds = [(torch.float32, "cpu"), (torch.float16, "cpu"), (torch.bfloat16, "cpu"), (torch.bfloat16, "meta")]
    jobs = [torch.ones(1, 3, dtype=dtype, device=device) for dtype, device in kinds * 2]
    batcher = StepBatcher(transformer, max_rows=8)
    outputs = await asyncio.gather(*(batcher.evaluate("m", {"hidden_states": x}) for x in jobs))

    assert seen == [(*kind, 2) for kind in kinds]
    assert [(output.dtype, output.device.type) for output in outputs] == kinds * 2
    assert all((output == 2).all() for output in outputs if output.device.type == "cpu")


async def test_a_batch_has_at_most_max_rows_and_those_left_over_go_next() -> None:
    transformer = Transformer()
    batcher = StepBatcher(transformer, max_rows=4)

    outputs = await asyncio.gather(*(batcher.evaluate("m", rows(value, 0, count=2)) for value in range(5)))

    assert [output[0, 0] for output in outputs] == [0, 1, 2, 3, 4]
    assert [count for _, count in transformer.batches] == [4, 4, 2]


async def test_a_model_may_take_fewer_rows_than_others() -> None:
    transformer = Transformer()
    batcher = StepBatcher(transformer, max_rows=4, rows_of={"engine": 1})

    guided = batcher.evaluate("engine", rows(1, 0, count=2)), batcher.evaluate("m", rows(2, 0, count=2))
    first, second = await asyncio.gather(*guided)

    assert [len(first), len(second)] == [2, 2]
    assert sorted(count for _, count in transformer.batches) == [1, 1, 2]


async def test_a_failing_job_fails_alone() -> None:
    batcher = StepBatcher(Transformer(), max_rows=8)

    first, failed, last = await asyncio.gather(
        batcher.evaluate("m", rows(1, 5)),
        batcher.evaluate("m", rows(2, POISON)),
        batcher.evaluate("m", rows(3, 5)),
        return_exceptions=True,
    )

    assert isinstance(failed, ModelFailed)
    assert isinstance(first, torch.Tensor)
    assert isinstance(last, torch.Tensor)
    assert [first[0, 0].item(), last[0, 0].item()] == [6, 8]


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


async def test_a_model_that_is_away_fails_the_batch_at_once() -> None:
    calls = 0

    async def away(model: str, inputs: Inputs) -> torch.Tensor:
        nonlocal calls
        calls += 1
        raise ModelAway("its process has ended")

    batcher = StepBatcher(away, max_rows=8)
    results = await asyncio.gather(*(batcher.evaluate("m", rows(1, 1)) for _ in range(3)), return_exceptions=True)

    assert [type(result) for result in results] == [ModelAway] * 3
    assert calls == 1


async def test_a_model_that_loses_rows_has_failed() -> None:
    async def forgetful(model: str, inputs: Inputs) -> torch.Tensor:
        return tensor(inputs, "hidden_states")[1:]

    with pytest.raises(ModelFailed, match="returned 1 rows for 2"):
        await StepBatcher(forgetful, max_rows=8).evaluate("m", rows(1, 1, count=2))


class Machine:
    """A transformer on a clock of its own: a row of `width` latents takes `width` seconds."""

    def __init__(self) -> None:
        self.now = 0.0
        self.calls: list[tuple[int, int]] = []
        """width and rows of each"""

    def clock(self) -> float:
        return self.now

    async def __call__(self, model: str, inputs: Inputs) -> torch.Tensor:
        count, width = tensor(inputs, "hidden_states").shape
        self.calls.append((width, count))
        await asyncio.sleep(0.001)
        self.now += width * count
        return tensor(inputs, "hidden_states") + tensor(inputs, "timestep")[:, None]


async def steps(batcher: StepBatcher, width: int, count: int) -> None:
    for step in range(count):
        await batcher.evaluate("m", rows(0, step, width=width))


async def test_all_steps_of_a_small_job_fit_between_two_of_a_large_one() -> None:
    machine = Machine()
    batcher = StepBatcher(machine, max_rows=8, gather_seconds=1, clock=machine.clock)
    large = asyncio.create_task(steps(batcher, width=1000, count=3))
    await asyncio.sleep(0)

    await asyncio.gather(large, steps(batcher, width=1, count=16))

    assert machine.calls == [(1000, 1), *[(1, 1)] * 16, (1000, 1), (1000, 1)]


async def test_small_jobs_without_end_do_not_starve_a_large_one() -> None:
    machine = Machine()
    batcher = StepBatcher(machine, max_rows=8, gather_seconds=1, clock=machine.clock)
    small = asyncio.create_task(steps(batcher, width=1, count=10_000))
    await asyncio.sleep(0.005)

    await steps(batcher, width=20, count=3)
    small.cancel()

    first, *_, last = (i for i, call in enumerate(machine.calls) if call == (20, 1))
    assert 2 * 20 - 1 <= last - first - 2 <= 2 * 20 + 1  # each has half of the time between the large one's steps


async def test_more_jobs_of_a_kind_have_more_of_the_time() -> None:
    machine = Machine()
    batcher = StepBatcher(machine, max_rows=8, gather_seconds=1, clock=machine.clock)

    three = [steps(batcher, width=10, count=20) for _ in range(3)]
    await asyncio.gather(*three, steps(batcher, width=11, count=10))

    alternating = machine.calls[: machine.calls.index((11, 1), machine.calls.index((11, 1)) + 1)]
    assert alternating.count((10, 3)) in (1, 2)
    assert machine.calls.count((10, 3)) == 20


async def test_rows_of_large_latents_go_one_by_one_and_others_go_between() -> None:
    machine = Machine()
    batcher = StepBatcher(machine, max_rows=8, max_elements=150, gather_seconds=1, clock=machine.clock)

    output, _ = await asyncio.gather(
        batcher.evaluate("m", rows(3, 4, count=3, width=100)), steps(batcher, width=50, count=2)
    )

    np.testing.assert_array_equal(output, np.full((3, 100), 7, np.float32))
    assert sorted(machine.calls) == [(50, 1)] * 2 + [(100, 1)] * 3
    assert machine.calls[0] == (100, 1)
    assert machine.calls[1] == (50, 1)


class HeldTransformer:
    """Computes until it is released, and knows whether it was cancelled."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.release = asyncio.Event()
        self.cancelled = False

    async def __call__(self, model: str, inputs: Inputs) -> torch.Tensor:
        self.begun.set()
        try:
            await self.release.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            await self.release.wait()  # as a call that computes does
            raise
        return tensor(inputs, "hidden_states")


async def test_a_job_that_leaves_a_running_call_waits_for_its_end() -> None:
    transformer = HeldTransformer()
    batcher = StepBatcher(transformer, max_rows=8)
    leaving, staying = (asyncio.create_task(batcher.evaluate("m", rows(value, 0))) for value in (1, 2))
    await transformer.begun.wait()

    leaving.cancel()
    await asyncio.sleep(0.01)
    assert not leaving.done()
    assert not transformer.cancelled
    transformer.release.set()

    assert (await staying)[0, 0] == 2
    with pytest.raises(asyncio.CancelledError):
        await leaving


async def test_a_call_that_all_jobs_left_is_cancelled_and_the_next_goes_on() -> None:
    transformer = HeldTransformer()
    batcher = StepBatcher(transformer, max_rows=8)
    leaving = [asyncio.create_task(batcher.evaluate("m", rows(value, 0))) for value in (1, 2)]
    await transformer.begun.wait()

    for job in leaving:
        job.cancel()
    while not transformer.cancelled:
        await asyncio.sleep(0)
    assert not any(job.done() for job in leaving)
    transformer.release.set()

    results = await asyncio.gather(*leaving, return_exceptions=True)
    assert [type(result) for result in results] == [asyncio.CancelledError] * 2
    assert (await batcher.evaluate("m", rows(3, 0)))[0, 0] == 3


async def test_a_job_cancelled_between_its_rows_is_not_evaluated_further() -> None:
    machine = Machine()
    batcher = StepBatcher(machine, max_rows=8, max_elements=100, clock=machine.clock)
    job = asyncio.create_task(batcher.evaluate("m", rows(0, 0, count=3, width=100)))
    while not machine.calls:
        await asyncio.sleep(0)

    job.cancel()
    await asyncio.sleep(0.02)

    assert machine.calls == [(100, 1)]
    assert not batcher._workers


async def test_nothing_is_kept_for_shapes_that_are_no_longer_used() -> None:
    machine = Machine()
    batcher = StepBatcher(machine, max_rows=8, clock=machine.clock)
    for width in range(1, 6):
        await batcher.evaluate("m", rows(0, 0, width=width))
    await asyncio.sleep(0.05)
    assert not batcher._workers

    machine.now += REMEMBERED_SECONDS + 1
    await batcher.evaluate("m", rows(0, 0, width=9))

    assert len(batcher._models["m"]._groups) == 1


async def test_rows_share_a_call_only_with_rows_whose_shared_inputs_are_equal() -> None:
    seen: list[tuple[int, str]] = []

    async def transformer(model: str, inputs: Inputs) -> torch.Tensor:
        seen.append((len(tensor(inputs, "hidden_states")), str(inputs["adapter"])))
        return tensor(inputs, "hidden_states")

    def adapter(name: str) -> Shared:
        return Shared(name, {"adapter": name})

    batcher = StepBatcher(transformer, max_rows=8)
    await asyncio.gather(*(batcher.evaluate("m", rows(1, 1), adapter(name)) for name in ("ink", "oil", "ink")))
    assert sorted(seen) == [(1, "oil"), (2, "ink")]


def test_two_sets_of_shared_inputs_become_one() -> None:
    both = Shared("a", {"x": torch.zeros(1)}) | Shared("b", {"y": torch.ones(1)})
    assert (both.key, sorted(both.inputs)) == (("a", "b"), ["x", "y"])
