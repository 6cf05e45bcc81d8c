"""One sequence of calls of a streaming VAE model, whose caches live in the model from its first call to its last."""

import secrets
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress

import numpy as np

from pipelines.frames import Float32
from pipelines.runner import Chunk, ModelRunner
from protocol.errors import ModelFailed


async def stream(
    chunks: Sequence[Float32], runner: ModelRunner, model: str, source: str, result: str
) -> AsyncGenerator[Float32]:
    """Send the chunks of a clip in order.

    Args:
        chunks: float32 [1, channels, frames, height, width] each.
        source: name of the model's input.
        result: name of its output.

    Yields:
        the output for each chunk.
    """
    sequence_id = secrets.randbelow(2**62) + 1
    done = False
    try:
        for i, array in enumerate(chunks):
            last = i == len(chunks) - 1
            output = await runner.infer(model, {source: array}, result, Chunk(sequence_id, start=i == 0, end=last))
            done = last
            yield output
    finally:
        if not done:  # a job that ends early leaves no caches behind; why it ended is what its client should hear
            with suppress(ModelFailed):
                nothing = np.empty_like(chunks[0][:, :, :0])
                await runner.infer(model, {source: nothing}, result, Chunk(sequence_id, end=True))
