"""The judge: right on drawn videos, and on what encoders and decoders leave of them; silent where there is nothing."""

import io
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from frontend.media.video_encoder import VideoEncoder
from toy.world.detect import Seen, detect
from toy.world.draw import Video, draw
from toy.world.palette import BACKGROUND_RGB, COLOUR_RGB
from toy.world.scene import Place, Scene, sample_scene

COUNT = 315
SIZES = ((64, 64), (64, 64), (64, 64), (96, 64), (64, 96), (80, 80), (48, 48))
LENGTHS = (9, 9, 5, 17, 1)


def judge(damage: Callable[[Video, np.random.Generator], NDArray[Any]]) -> dict[str, float]:
    """Share of drawn videos, damaged so, of which each attribute is told right."""
    rng = np.random.default_rng(0)
    right = dict.fromkeys(("shape", "colour", "motion", "background"), 0)
    for i in range(COUNT):
        scene = sample_scene(rng)
        num_frames = LENGTHS[i % len(LENGTHS)]
        seen = detect(damage(draw(scene, *SIZES[i % len(SIZES)], num_frames), rng))
        for name in right:
            truth = getattr(scene, name) if (name, num_frames) != ("motion", 1) else "still"
            right[name] += getattr(seen, name) == truth
    return {name: count / COUNT for name, count in right.items()}


def blurred(video: Video, reach: int) -> Video:
    """Means over squares of 2 reach + 1 pixels."""
    height, width = video.shape[1:3]
    window = range(2 * reach + 1)
    padded = np.pad(video, ((0, 0), (reach, reach), (reach, reach), (0, 0)), mode="edge")
    rows = np.sum([padded[:, i : i + height] for i in window], axis=0)
    total: Video = np.sum([rows[:, :, i : i + width] for i in window], axis=0)
    return total / len(window) ** 2


def with_noise(video: Video, rng: np.random.Generator, deviation: float) -> Video:
    return np.clip(video + rng.normal(0, deviation, video.shape), 0, 1).astype(np.float32)


def through_mp4(video: Video) -> NDArray[np.uint8]:
    """What a client decodes of the H.264 with halved chroma that the server makes of a video; uint8."""
    encoder = VideoEncoder(video.shape[2], video.shape[1], Fraction(8))
    encoder.add((video * 255).round().astype(np.uint8))
    with av.open(io.BytesIO(encoder.finish()), "r") as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def coarse(video: Video) -> Video:
    """Half the resolution and back, somewhat like a poor autoencoder."""
    halved = blurred(video, 1)[:, ::2, ::2]
    return blurred(halved.repeat(2, axis=1).repeat(2, axis=2), 1)


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda video, rng: video, id="as drawn"),
        pytest.param(lambda video, rng: (video * 255).round().astype(np.uint8), id="8 bits"),
        pytest.param(lambda video, rng: through_mp4(video), id="MP4"),
        pytest.param(lambda video, rng: blurred(video, 1), id="blurred"),
        pytest.param(lambda video, rng: with_noise(video, rng, 0.05), id="noise at 26 dB"),
    ],
)
def test_every_attribute_of_every_video_is_told_right(
    damage: Callable[[Video, np.random.Generator], NDArray[Any]],
) -> None:
    assert judge(damage) == {"shape": 1, "colour": 1, "motion": 1, "background": 1}


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda video, rng: blurred(video, 2), id="blurred over 5 pixels"),
        pytest.param(lambda video, rng: through_mp4(with_noise(coarse(video), rng, 0.03)), id="coarse, noisy, MP4"),
    ],
)
def test_damage_worse_than_an_autoencoders_costs_a_hundredth(
    damage: Callable[[Video, np.random.Generator], NDArray[Any]],
) -> None:
    assert min(judge(damage).values()) >= 0.99


def test_an_empty_video_has_a_background_only() -> None:
    for background, rgb in BACKGROUND_RGB.items():
        empty = np.broadcast_to(np.array(rgb, np.float32), (5, 64, 64, 3))
        assert detect(empty) == Seen(None, None, None, background)


def test_noise_shows_nothing_of_the_toy_world() -> None:
    seen = detect(np.random.default_rng(0).uniform(size=(9, 64, 64, 3)))

    assert (seen.shape, seen.colour, seen.background) == (None, None, None)


def scene_frames() -> Video:
    scene = Scene("square", "red", "right", "black", Place(0, 0.5, 0.22), Place(1, 0.5, 0.22))
    return draw(scene, 64, 64, 9)


def test_a_colour_or_ground_outside_the_palette_has_no_name() -> None:
    video = scene_frames()
    ground = np.array(BACKGROUND_RGB["black"])
    share = (video - ground) @ (np.array(COLOUR_RGB["red"]) - ground)
    inside = (share > share.max() / 2)[..., None]

    pale = detect(np.where(inside, 1.0, ground))
    assert pale == Seen("square", None, "right", "black")
    on_green = detect(np.where(inside, video, (0, 0.6, 0)))
    assert on_green == Seen("square", "red", "right", None)


def test_a_motion_along_the_diagonal_is_none() -> None:
    scene = Scene("circle", "blue", "right", "white", Place(0, 0, 0.22), Place(1, 1, 0.22))

    assert detect(draw(scene, 64, 64, 9)) == Seen("circle", "blue", None, "white")


def test_a_shape_that_is_gone_half_of_the_time_has_no_motion() -> None:
    video = scene_frames()
    video[4:] = video[0, 0, 0]

    assert detect(video) == Seen("square", "red", None, "black")


def test_a_slight_drift_is_still() -> None:
    scene = Scene("ring", "green", "still", "grey", Place(0.4, 0.5, 0.22), Place(0.5, 0.5, 0.22))

    assert detect(draw(scene, 64, 64, 9)).motion == "still"
