"""A text encoder is called once for equal tokens, and must answer for each of them."""

import asyncio

import numpy as np
import pytest
import torch

from pipelines.condition_cache import ConditionCache
from pipelines.runner import Chunk, Inputs
from pipelines.token_encoder import TokenEncoder
from protocol.errors import ModelFailed

IDS = torch.tensor([[5, 6, 1]])


class Runner:
    """Answers with one row of features per token, or with `answer`."""

    def __init__(self, answer: torch.Tensor | None = None) -> None:
        self.answer = answer
        self.calls: list[dict[str, list[list[int]]]] = []

    async def infer(self, model: str, inputs: Inputs, output: str, chunk: Chunk | None = None) -> torch.Tensor:
        tensors = {name: value for name, value in inputs.items() if isinstance(value, torch.Tensor)}
        assert (model, output, {x.dtype for x in tensors.values()}) == ("umt5", "states", {torch.int64})
        self.calls.append({name: x.tolist() for name, x in tensors.items()})
        await asyncio.sleep(0)
        if self.answer is not None:
            return self.answer
        return tensors["input_ids"].float()[:, :, None] * torch.ones(4)


def encoder_of(runner: Runner) -> TokenEncoder:
    return TokenEncoder("umt5", "states", runner, ConditionCache(2**20))


async def test_equal_tokens_are_encoded_once() -> None:
    runner = Runner()
    encoder = encoder_of(runner)

    first, second = await asyncio.gather(encoder.encode(IDS), encoder.encode(IDS.clone()))

    assert first is second
    np.testing.assert_array_equal(first[0, :, 0], [5, 6, 1])
    assert runner.calls == [{"input_ids": IDS.tolist(), "attention_mask": [[1, 1, 1]]}]


async def test_other_tokens_are_not_equal() -> None:
    runner = Runner()
    encoder = encoder_of(runner)
    for ids in (IDS, IDS + 1, IDS[:, :2]):
        await encoder.encode(ids)
    assert len(runner.calls) == 3


@pytest.mark.parametrize("shape", [(0,), (1, 2, 4), (1, 3), (2, 3, 4), (1, 4, 4)])
async def test_an_answer_that_is_not_one_per_token_is_an_error_and_not_kept(shape: tuple[int, ...]) -> None:
    runner = Runner(torch.zeros(shape))
    encoder = encoder_of(runner)
    with pytest.raises(ModelFailed, match=r"umt5 answered .* for tokens \(1, 3\)"):
        await encoder.encode(IDS)

    runner.answer = None
    assert (await encoder.encode(IDS)).shape == (1, 3, 4)
