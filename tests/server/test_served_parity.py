"""Frames that Triton serves differ from diffusers' by at most one 8-bit level in at most 0.1 % of the values."""

import asyncio
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import WanPipeline
from numpy.typing import NDArray

from .grpc_client import generate
from .running_server import RunningServer

REQUESTS: list[dict[str, Any]] = [
    {"prompt": "a red circle moving right on a black background", "seed": 11},
    {"prompt": "a green square growing", "seed": 12, "guidance_scale": 6.0, "guidance_scale_2": 3.0},
    {"prompt": "a blue triangle falling", "seed": 13, "width": 96, "num_frames": 17, "num_inference_steps": 8},
    {"prompt": "a purple ball at rest", "seed": 14, "negative_prompt": "red", "num_inference_steps": 20},
]


TOY_DEFAULTS = {"width": 64, "height": 64, "num_frames": 9, "num_inference_steps": 12, "guidance_scale": 4.0}


@pytest.fixture(scope="module")
def expected(toy: Any) -> list[NDArray[np.uint8]]:
    torch.set_num_threads(1)  # two that spin would slow the server down, which runs beside them
    pipeline = WanPipeline.from_pretrained(toy.checkpoint, dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    return [diffusers_frames(pipeline, request) for request in REQUESTS]


def diffusers_frames(pipeline: WanPipeline, request: dict[str, Any]) -> NDArray[np.uint8]:
    given = {key: value for key, value in request.items() if key != "seed"}
    generator = torch.Generator().manual_seed(request["seed"])
    frames = pipeline(**TOY_DEFAULTS | given, generator=generator, output_type="np").frames[0]
    quantised: NDArray[np.uint8] = (frames * 255).round().astype(np.uint8)
    return quantised


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
    clips = await asyncio.gather(*(generate(server.grpc, **request) for request in REQUESTS))
    for clip, frames in zip(clips, expected, strict=True):
        assert_served(clip.frames, frames)


async def test_a_circle_moves_right(server: RunningServer) -> None:
    """What the picture shows: red, and its centre further right in the last frame than in the first."""
    clip = await generate(server.grpc, prompt="a red circle moving right on a black background", seed=3)
    red = clip.frames[..., 0].astype(float) - clip.frames[..., 1:].max(axis=-1)
    weight = (red > 60).astype(float)
    assert weight.sum(axis=(1, 2)).min() > 50
    centres = (weight * np.arange(64)).sum(axis=(1, 2)) / weight.sum(axis=(1, 2))
    assert centres[-1] - centres[0] > 12
