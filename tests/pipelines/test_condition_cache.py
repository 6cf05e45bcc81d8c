"""The cache of conditions: equal ones are computed once, errors never stay, and nobody pays for another's leaving."""

import asyncio
import gc
from typing import Any

import pytest
import torch

from pipelines.condition_cache import ConditionCache, fingerprint
from protocol.errors import ModelFailed

KIB = 2**10


class Encoder:
    """Computes arrays of one KiB; holds each back until it is let go."""

    def __init__(self, held: bool = False) -> None:
        self.started: list[str] = []
        self.stopped: list[str] = []
        self.errors: list[Exception] = []
        """raised by the next computations, in this order"""
        self.go = asyncio.Event()
        if not held:
            self.go.set()

    async def encode(self, prompt: str, size: int = KIB) -> torch.Tensor:
        self.started.append(prompt)
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.stopped.append(prompt)
            raise
        if self.errors:
            raise self.errors.pop(0)
        return torch.full((size // 4,), float(len(self.started)))

    async def get(self, cache: ConditionCache, prompt: str, size: int = KIB) -> torch.Tensor:
        return await cache.get("encoder", prompt, lambda: self.encode(prompt, size))


async def started(encoder: Encoder, count: int) -> None:
    while len(encoder.started) < count:
        await asyncio.sleep(0)


async def test_a_result_is_kept() -> None:
    encoder, cache = Encoder(), ConditionCache(8 * KIB)

    first = await encoder.get(cache, "a cat")

    assert await encoder.get(cache, "a cat") is first
    assert await encoder.get(cache, "a dog") is not first
    assert encoder.started == ["a cat", "a dog"]


async def test_two_models_do_not_share() -> None:
    encoder, cache = Encoder(), ConditionCache(8 * KIB)
    for model in ("umt5", "qwen", "umt5"):
        await cache.get(model, "a cat", lambda: encoder.encode("a cat"))
    assert len(encoder.started) == 2


async def test_a_result_that_is_shared_cannot_be_written_to() -> None:
    encoder, cache = Encoder(), ConditionCache(8 * KIB)
    for _ in range(2):
        array = await encoder.get(cache, "a cat")
        with pytest.raises(RuntimeError, match="Inplace update"):
            array[0] = 1


async def test_equal_ones_in_flight_share_one_computation() -> None:
    encoder, cache = Encoder(held=True), ConditionCache(8 * KIB)
    jobs = [asyncio.create_task(encoder.get(cache, "a cat")) for _ in range(5)]
    await started(encoder, 1)
    encoder.go.set()

    first, *others = await asyncio.gather(*jobs)

    assert all(other is first for other in others)
    assert encoder.started == ["a cat"]


async def test_an_error_goes_to_all_who_waited_and_is_not_kept() -> None:
    encoder, cache = Encoder(held=True), ConditionCache(8 * KIB)
    encoder.errors = [ModelFailed("the encoder died")]
    jobs = [asyncio.create_task(encoder.get(cache, "a cat")) for _ in range(3)]
    await started(encoder, 1)
    encoder.go.set()

    results = await asyncio.gather(*jobs, return_exceptions=True)

    assert [str(result) for result in results] == ["the encoder died"] * 3
    assert (await encoder.get(cache, "a cat"))[0] == 2
    assert encoder.started == ["a cat", "a cat"]


async def test_one_who_leaves_leaves_the_others_alone() -> None:
    encoder, cache = Encoder(held=True), ConditionCache(8 * KIB)
    first, second, third = (asyncio.create_task(encoder.get(cache, "a cat")) for _ in range(3))
    await started(encoder, 1)

    first.cancel()  # the one that began it
    third.cancel()
    await asyncio.gather(first, third, return_exceptions=True)
    encoder.go.set()

    assert (await second)[0] == 1
    assert (first.cancelled(), third.cancelled()) == (True, True)
    assert (encoder.started, encoder.stopped) == (["a cat"], [])


async def test_when_all_have_left_the_computation_ends_before_the_last_is_gone() -> None:
    encoder, cache = Encoder(held=True), ConditionCache(8 * KIB)
    jobs = [asyncio.create_task(encoder.get(cache, "a cat")) for _ in range(2)]
    await started(encoder, 1)

    for job in jobs:
        job.cancel()
    await asyncio.gather(*jobs, return_exceptions=True)

    assert encoder.stopped == ["a cat"]
    encoder.go.set()
    assert (await encoder.get(cache, "a cat"))[0] == 2


async def test_who_comes_while_an_abandoned_computation_still_ends_starts_anew() -> None:
    ending = asyncio.Event()
    encoder, cache = Encoder(held=True), ConditionCache(8 * KIB)

    async def slow_to_stop() -> torch.Tensor:
        try:
            return await encoder.encode("a cat")
        finally:
            await ending.wait()

    leaver = asyncio.create_task(cache.get("encoder", "a cat", slow_to_stop))
    await started(encoder, 1)
    leaver.cancel()
    while not encoder.stopped:
        await asyncio.sleep(0)

    comer = asyncio.create_task(encoder.get(cache, "a cat"))
    await started(encoder, 2)
    assert not leaver.done()
    ending.set()
    await asyncio.gather(leaver, return_exceptions=True)
    encoder.go.set()

    assert (await comer)[0] == 2
    assert await encoder.get(cache, "a cat") is await comer


async def test_the_error_of_an_abandoned_computation_bothers_nobody() -> None:
    complaints: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: complaints.append(context))
    encoder, cache = Encoder(held=True), ConditionCache(8 * KIB)

    async def fails_while_stopping() -> torch.Tensor:
        try:
            return await encoder.encode("a cat")
        except asyncio.CancelledError:
            raise ModelFailed("the encoder died") from None

    job = asyncio.create_task(cache.get("encoder", "a cat", fails_while_stopping))
    await started(encoder, 1)
    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        await job
    del job
    gc.collect()
    await asyncio.sleep(0)

    assert complaints == []


async def test_those_used_last_are_kept_within_the_bytes() -> None:
    sizes: list[int] = []
    encoder, cache = Encoder(), ConditionCache(3 * KIB, kept_changed=sizes.append)
    for prompt in ("a", "b", "c", "a", "d"):  # "b" is the one not used for longest
        await encoder.get(cache, prompt)
    assert sizes == [KIB, 2 * KIB, 3 * KIB, 3 * KIB]

    for prompt in ("a", "c", "d", "b"):
        await encoder.get(cache, prompt)
    assert encoder.started == ["a", "b", "c", "d", "b"]


async def test_a_large_one_makes_room_for_itself() -> None:
    encoder, cache = Encoder(), ConditionCache(4 * KIB)
    for prompt in ("a", "b", "c"):
        await encoder.get(cache, prompt)
    await encoder.get(cache, "large", size=3 * KIB)
    await encoder.get(cache, "c")
    await encoder.get(cache, "large", size=3 * KIB)
    assert encoder.started == ["a", "b", "c", "large"]


async def test_one_too_large_to_keep_is_shared_in_flight_and_drives_nothing_out() -> None:
    encoder, cache = Encoder(held=True), ConditionCache(4 * KIB)
    jobs = [asyncio.create_task(encoder.get(cache, "large", size=5 * KIB)) for _ in range(2)]
    await started(encoder, 1)
    encoder.go.set()
    first, second = await asyncio.gather(*jobs)
    assert first is second
    await encoder.get(cache, "a")
    await encoder.get(cache, "large", size=5 * KIB)
    await encoder.get(cache, "a")
    assert encoder.started == ["large", "a", "large"]


async def test_what_is_found_and_what_is_not_is_told() -> None:
    told: list[tuple[str, bool]] = []
    encoder = Encoder(held=True)
    cache = ConditionCache(8 * KIB, looked_up=lambda model, found: told.append((model, found)))
    jobs = [asyncio.create_task(encoder.get(cache, "a cat")) for _ in range(2)]
    await started(encoder, 1)
    encoder.go.set()
    await asyncio.gather(*jobs)
    await encoder.get(cache, "a cat")
    assert told == [("encoder", False), ("encoder", True), ("encoder", True)]


def test_fingerprints_tell_names_types_shapes_and_values_apart() -> None:
    ids = torch.arange(4)
    different = [
        {"ids": ids},
        {"mask": ids},
        {"ids": ids.int()},
        {"ids": ids.reshape(2, 2)},
        {"ids": ids + 1},
        {"ids": ids, "mask": ids},
        {"ids": ids[:2], "mask": ids[2:]},
        {"ids": ids[:0]},
    ]
    assert len({fingerprint(tensors) for tensors in different}) == len(different)
    assert fingerprint({"a": ids, "b": ids}) == fingerprint({"b": ids.clone(), "a": ids})
    grid = torch.arange(6).reshape(2, 3)
    assert fingerprint({"x": grid.T}) == fingerprint({"x": grid.T.contiguous()})
