"""One sequence of calls of a streaming VAE model, whose caches live in the model from its first call to its last."""

import secrets
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress

import torch

from pipelines.runner import Chunk, ModelRunner
from protocol.errors import ModelFailed


async def stream(
    chunks: Sequence[torch.Tensor], runner: ModelRunner, model: str, source: str, result: str
) -> AsyncGenerator[torch.Tensor]:
    """Send the chunks of a video in order.

    Args:
        chunks: [1, channels, frames, height, width] each.
        source: name of the model's input.
        result: name of its output.

    Yields:
        the output for each chunk.
    """
    sequence_id = secrets.randbelow(2**62) + 1
    done = False
    try:
        for i, chunk in enumerate(chunks):
            last = i == len(chunks) - 1
            output = await runner.infer(model, {source: chunk}, result, Chunk(sequence_id, start=i == 0, end=last))
            done = last
            yield output
    finally:
        if not done:  # a job that ends early leaves no caches behind; why it ended is what its client should hear
            with suppress(ModelFailed):
                nothing = torch.empty_like(chunks[0][:, :, :0])
                await runner.infer(model, {source: nothing}, result, Chunk(sequence_id, end=True))
