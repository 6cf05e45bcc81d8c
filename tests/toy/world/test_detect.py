"""The judge: right on drawn clips, and on what encoders and decoders leave of them; silent where there is nothing."""

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
from toy.world.draw import Clip, draw
from toy.world.palette import BACKGROUND_RGB, COLOUR_RGB
from toy.world.scene import Place, Scene, sample_scene

COUNT = 315
SIZES = ((64, 64), (64, 64), (64, 64), (96, 64), (64, 96), (80, 80), (48, 48))
LENGTHS = (9, 9, 5, 17, 1)


def judge(damage: Callable[[Clip, np.random.Generator], NDArray[Any]]) -> dict[str, float]:
    """Share of drawn clips, damaged so, of which each attribute is told right."""
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


def blurred(clip: Clip, reach: int) -> Clip:
    """Means over squares of 2 reach + 1 pixels."""
    height, width = clip.shape[1:3]
    window = range(2 * reach + 1)
    padded = np.pad(clip, ((0, 0), (reach, reach), (reach, reach), (0, 0)), mode="edge")
    rows = np.sum([padded[:, i : i + height] for i in window], axis=0)
    total: Clip = np.sum([rows[:, :, i : i + width] for i in window], axis=0)
    return total / len(window) ** 2


def with_noise(clip: Clip, rng: np.random.Generator, deviation: float) -> Clip:
    return np.clip(clip + rng.normal(0, deviation, clip.shape), 0, 1).astype(np.float32)


def through_mp4(clip: Clip) -> NDArray[np.uint8]:
    """What a client decodes of the H.264 with halved chroma that the server makes of a clip; uint8."""
    encoder = VideoEncoder(clip.shape[2], clip.shape[1], Fraction(8))
    encoder.add((clip * 255).round().astype(np.uint8))
    with av.open(io.BytesIO(encoder.finish()), "r") as video:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)])


def coarse(clip: Clip) -> Clip:
    """Half the resolution and back, somewhat like a poor autoencoder."""
    halved = blurred(clip, 1)[:, ::2, ::2]
    return blurred(halved.repeat(2, axis=1).repeat(2, axis=2), 1)


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda clip, rng: clip, id="as drawn"),
        pytest.param(lambda clip, rng: (clip * 255).round().astype(np.uint8), id="8 bits"),
        pytest.param(lambda clip, rng: through_mp4(clip), id="MP4"),
        pytest.param(lambda clip, rng: blurred(clip, 1), id="blurred"),
        pytest.param(lambda clip, rng: with_noise(clip, rng, 0.05), id="noise at 26 dB"),
    ],
)
def test_every_attribute_of_every_clip_is_told_right(
    damage: Callable[[Clip, np.random.Generator], NDArray[Any]],
) -> None:
    assert judge(damage) == {"shape": 1, "colour": 1, "motion": 1, "background": 1}


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda clip, rng: blurred(clip, 2), id="blurred over 5 pixels"),
        pytest.param(lambda clip, rng: through_mp4(with_noise(coarse(clip), rng, 0.03)), id="coarse, noisy, MP4"),
    ],
)
def test_damage_worse_than_an_autoencoders_costs_a_hundredth(
    damage: Callable[[Clip, np.random.Generator], NDArray[Any]],
) -> None:
    assert min(judge(damage).values()) >= 0.99


def test_an_empty_clip_has_a_background_only() -> None:
    for background, rgb in BACKGROUND_RGB.items():
        empty = np.broadcast_to(np.array(rgb, np.float32), (5, 64, 64, 3))
        assert detect(empty) == Seen(None, None, None, background)


def test_noise_shows_nothing_of_the_toy_world() -> None:
    seen = detect(np.random.default_rng(0).uniform(size=(9, 64, 64, 3)))

    assert (seen.shape, seen.colour, seen.background) == (None, None, None)


def scene_frames() -> Clip:
    scene = Scene("square", "red", "right", "black", Place(0, 0.5, 0.22), Place(1, 0.5, 0.22))
    return draw(scene, 64, 64, 9)


def test_a_colour_or_ground_outside_the_palette_has_no_name() -> None:
    clip = scene_frames()
    ground = np.array(BACKGROUND_RGB["black"])
    share = (clip - ground) @ (np.array(COLOUR_RGB["red"]) - ground)
    inside = (share > share.max() / 2)[..., None]

    pale = detect(np.where(inside, 1.0, ground))
    assert pale == Seen("square", None, "right", "black")
    on_green = detect(np.where(inside, clip, (0, 0.6, 0)))
    assert on_green == Seen("square", "red", "right", None)


def test_a_motion_along_the_diagonal_is_none() -> None:
    scene = Scene("circle", "blue", "right", "white", Place(0, 0, 0.22), Place(1, 1, 0.22))

    assert detect(draw(scene, 64, 64, 9)) == Seen("circle", "blue", None, "white")


def test_a_shape_that_is_gone_half_of_the_time_has_no_motion() -> None:
    clip = scene_frames()
    clip[4:] = clip[0, 0, 0]

    assert detect(clip) == Seen("square", "red", None, "black")


def test_a_slight_drift_is_still() -> None:
    scene = Scene("ring", "green", "still", "grey", Place(0.4, 0.5, 0.22), Place(0.5, 0.5, 0.22))

    assert detect(draw(scene, 64, 64, 9)).motion == "still"
