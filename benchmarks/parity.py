"""Whether both sides of the comparison make the same pictures; speed means nothing otherwise."""

import asyncio
import secrets
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.clips import Clip
from benchmarks.errors import ServerFailed
from benchmarks.sides import Reference
from frontend.engine import Frames
from frontend.errors import EngineFailed, EngineUnavailable
from frontend.triton_engine import TritonEngine
from pipelines.frames import to_uint8
from pipelines.model_card import ModelCard
from pipelines.request import parse, resolve

_STALL_SECONDS = 10.0
_JOB_SECONDS = 600.0


@dataclass(frozen=True)
class Difference:
    """Between served frames and diffusers'."""

    levels: int
    """8-bit levels, the greatest difference"""
    share: float
    """of the values that differ at all"""


def compare(grpc: str, reference: Reference, card: ModelCard, clip: Clip, scratch: Path) -> Difference:
    """Make one clip on both sides.

    Args:
        grpc: host:port of Triton, asked directly because H.264 loses what is compared here.
        scratch: an existing folder for the frames.
    """
    saved = scratch / "reference.npy"
    reference.make(clip, save_to=saved)
    try:
        served = asyncio.run(_served_frames(grpc, card, clip))
    except (EngineUnavailable, EngineFailed) as error:
        raise ServerFailed(f"generate did not make the clip: {error.message}") from error
    return difference(served, to_uint8(np.load(saved)))


def difference(served: NDArray[np.uint8], expected: NDArray[np.uint8]) -> Difference:
    """Raises ServerFailed when the shapes differ."""
    if served.shape != expected.shape:
        raise ServerFailed(f"served frames are {served.shape}, diffusers' are {expected.shape}")
    distance = np.abs(served.astype(np.int16) - expected.astype(np.int16))
    return Difference(int(distance.max()), float((distance > 0).mean()))


async def _served_frames(grpc: str, card: ModelCard, clip: Clip) -> NDArray[np.uint8]:
    params = resolve(parse({"prompt": clip.prompt, "seed": clip.seed}), card)
    engine = TritonEngine(grpc, stall_timeout_seconds=_STALL_SECONDS)
    await engine.open()
    try:
        job = engine.generate(card.id, params, request_id=secrets.token_hex(4), timeout_seconds=_JOB_SECONDS)
        return np.concatenate([event.pixels async for event in job if isinstance(event, Frames)])
    finally:
        await engine.close()
