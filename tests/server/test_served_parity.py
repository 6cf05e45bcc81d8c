"""Frames that Triton serves differ from diffusers' by at most one 8-bit level in at most 0.1 % of the values."""

import asyncio
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from protocol.model_card import ModelCard
from protocol.resolve import parse, resolve
from tests.conftest import Exported
from tests.parity.references import open_reference

from .grpc_client import generate
from .running_server import RunningServer

REQUESTS: list[dict[str, Any]] = [
    {"prompt": "a red circle moving right on a black background", "seed": 11},
    {"prompt": "a green square growing", "seed": 12, "guidance_scale": 6.0, "guidance_scale_2": 3.0},
    {"prompt": "a blue triangle falling", "seed": 13, "width": 96, "num_frames": 17, "num_inference_steps": 8},
    {"prompt": "a purple ball at rest", "seed": 14, "negative_prompt": "red", "num_inference_steps": 20},
]


@pytest.fixture(scope="module")
def expected(toy: Exported) -> list[NDArray[np.uint8]]:
    card = ModelCard.read(toy.repository / "generate" / "1" / "wan_t2v")
    reference = open_reference(toy.checkpoint)
    videos = (reference.frames(resolve(parse(request), card), card.max_sequence_length) for request in REQUESTS)
    return [(video * 255).round().astype(np.uint8) for video in videos]


def assert_served(made: NDArray[np.uint8], expected: NDArray[np.uint8]) -> None:
    assert made.shape == expected.shape
    difference = np.abs(made.astype(int) - expected)
    assert difference.max() <= 1
    assert (difference > 0).mean() <= 0.001
    assert expected.std() > 10, "the reference shows nothing, so the comparison says nothing"


async def test_alone(server: RunningServer, expected: list[NDArray[np.uint8]]) -> None:
    for request, frames in zip(REQUESTS, expected, strict=True):
        assert_served((await generate(server.grpc, **request)).frames, frames)


async def test_while_three_others_run(server: RunningServer, expected: list[NDArray[np.uint8]]) -> None:
    videos = await asyncio.gather(*(generate(server.grpc, **request) for request in REQUESTS))
    for video, frames in zip(videos, expected, strict=True):
        assert_served(video.frames, frames)
