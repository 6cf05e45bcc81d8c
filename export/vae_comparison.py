"""A VAE's graphs beside diffusers' own VAE, as the engine runs them: chunk by chunk, whole and in bands."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from export.family import Comparison
from export.graph import Session
from runtime.banded_vae import BandedVae
from runtime.bands import BandPlan
from runtime.tensors import to_numpy

Float32 = NDArray[np.float32]


def compare_streams(
    plan: BandPlan, sessions: Mapping[str, Session], source: Float32, expected: Float32, chunks: Sequence[int]
) -> Iterator[Comparison]:
    """A video in chunks of several lengths after its first frame, and in bands as low as can be.

    Args:
        source: float32 [batch, channels, frames, height, width].
        expected: what it becomes.
    """
    _, rows, width = plan.source_size(*source.shape[2:])
    cut = len(plan.heights(rows, width, 1, [plan.first])) > 1
    for budget in (None, 1) if cut else (None,):
        vae = BandedVae(lambda name: sessions[name].runtime, plan, budget)
        for chunk in chunks:
            how = f"in chunks of {chunk}, in bands" if budget else f"in chunks of {chunk}"
            run = partial(stream, vae, source, chunk)
            yield Comparison(f"{' x '.join(map(str, source.shape))} {how}", run, expected)


def stream(vae: BandedVae, source: Float32, chunk: int) -> Float32:
    """The first frame, then so many frames at a time."""
    starts = [0, *range(1, source.shape[2], chunk)]
    ends = [*starts[1:], source.shape[2]]
    state, results = None, []
    for start, end in zip(starts, ends, strict=True):
        result, state = vae.run(source[:, :, start:end], state, last=end == source.shape[2])
        results.append(to_numpy(result))
    return np.concatenate(results, axis=2)
