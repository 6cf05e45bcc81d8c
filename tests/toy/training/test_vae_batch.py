"""Batches for the autoencoder: shapes, range, and what they contain."""

import numpy as np
import pytest
import torch

from toy.training.vae_batch import VIDEO_SHAPES, frame_batch, video_batch


def test_frames_are_alike_in_shape_and_differ_in_content() -> None:
    frames = frame_batch(np.random.default_rng(0), 8)
    assert frames.shape == (8, 3, 1, 64, 64)
    assert frames.min() >= -1
    assert frames.max() <= 1
    assert len({frame.sum().item() for frame in frames}) == 8


def test_videos_come_in_every_shape() -> None:
    shapes = {tuple(video_batch(np.random.default_rng(seed), scene_share=0.0).shape) for seed in range(60)}
    assert shapes == {(s.batch, 3, s.frames, s.height, s.width) for s in VIDEO_SHAPES}


def test_some_videos_are_a_frame_then_grey() -> None:
    """The condition of image-to-video must decode well too."""
    batches = [video_batch(np.random.default_rng(seed), scene_share=0.0) for seed in range(60)]
    videos = [video for batch in batches for video in batch]
    grey = sum(not video[:, 1:].any() and bool(video[:, 0].any()) for video in videos)
    assert 0.05 < grey / len(videos) < 0.2


def test_scenes_alone_have_none_of_them() -> None:
    batches = [video_batch(np.random.default_rng(seed), scene_share=1.0) for seed in range(20)]
    assert all(video[:, 1:].any() for batch in batches for video in batch)


@pytest.mark.parametrize("seed", [0, 1])
def test_a_seed_draws_the_same_batch(seed: int) -> None:
    one, two = (video_batch(np.random.default_rng(seed), scene_share=0.0) for _ in range(2))
    assert torch.equal(one, two)
