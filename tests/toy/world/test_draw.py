"""Videos: exact colours, soft edges of the right area, the same scene at every size and length."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from toy.world.draw import draw, draw_varied
from toy.world.palette import BACKGROUND_RGB, COLOUR_RGB
from toy.world.scene import BACKGROUNDS, COLOURS, MOTIONS, SHAPES, Place, Scene, Shape, place_scene, sample_scene

CENTRE = Place(0.5, 0.5, 0.25)
AREAS = {  # in squared radii
    "circle": math.pi,
    "square": 4,
    "triangle": 1.9**2 / math.sqrt(3),
    "cross": 4 * 0.36 * (2 * 1.08 - 0.36),
    "ring": math.pi * (1.08**2 - 0.5**2),
}


def still(shape: Shape) -> Scene:
    return Scene(shape, "red", "still", "black", CENTRE, CENTRE)


def coverage(scene: Scene, width: int = 64, height: int = 64, num_frames: int = 1) -> NDArray[np.float64]:
    """How much of each pixel the shape covers, [frames, height, width], solved from its colours."""
    ground, colour = np.array(BACKGROUND_RGB[scene.background]), np.array(COLOUR_RGB[scene.colour])
    video = draw(scene, width, height, num_frames)
    share: NDArray[np.float64] = (video - ground) @ (colour - ground) / ((colour - ground) ** 2).sum()
    return share


@pytest.mark.parametrize("size", [(48, 48), (64, 64), (128, 80), (64, 96)])
@pytest.mark.parametrize("num_frames", [1, 5, 9, 17])
def test_a_video_has_the_size_and_length_asked_for(size: tuple[int, int], num_frames: int) -> None:
    width, height = size
    video = draw(sample_scene(np.random.default_rng(1)), width, height, num_frames)

    assert video.shape == (num_frames, height, width, 3)
    assert video.dtype == np.float32
    assert video.min() >= 0
    assert video.max() <= 1


def test_the_colours_are_those_of_the_palette() -> None:
    for colour in COLOURS:
        for background in BACKGROUNDS:
            scene = place_scene(np.random.default_rng(2), "square", colour, "still", background)
            pixels = draw(scene, 64, 64, 1).reshape(-1, 3)
            plain = np.isclose(pixels, BACKGROUND_RGB[background]).all(-1)
            coloured = np.isclose(pixels, COLOUR_RGB[colour]).all(-1)
            assert plain.mean() > 0.6
            assert coloured.mean() > 4 * 0.2**2 * 0.8


@pytest.mark.parametrize("shape", SHAPES)
def test_edges_are_soft_and_cover_the_exact_area(shape: Shape) -> None:
    share = coverage(still(shape), 90, 90)

    assert share.sum() == pytest.approx(AREAS[shape] * (0.25 * 90) ** 2, rel=0.01)
    assert ((share > 0.05) & (share < 0.95)).any()


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_lie_within_the_frame_wherever_they_are(shape: Shape) -> None:
    for x in (0, 1):
        for y in (0, 1):
            place = Place(x, y, 0.3)
            share = coverage(Scene(shape, "blue", "still", "white", place, place))
            assert share.sum() == pytest.approx(AREAS[shape] * (0.3 * 64) ** 2, rel=0.02)


def test_shapes_differ_in_a_fifth_of_their_area_at_the_least() -> None:
    shares = [coverage(still(shape)) for shape in SHAPES]
    for i, one in enumerate(shares):
        for other in shares[:i]:
            assert np.abs(one - other).sum() > 0.2 * min(one.sum(), other.sum())


def test_motion_is_even_from_start_to_end() -> None:
    scene = Scene("circle", "red", "right", "black", Place(0, 0.5, 0.25), Place(1, 0.5, 0.25))
    share = coverage(scene, 96, 64, 9)
    x = (share * (np.arange(96) + 0.5)).sum((1, 2)) / share.sum((1, 2))

    margin = 1.1 * 0.25 * 64
    np.testing.assert_allclose(x, np.linspace(margin, 96 - margin, 9), atol=0.05)


def test_a_scene_is_the_same_at_every_size_and_length() -> None:
    for motion in MOTIONS:
        scene = place_scene(np.random.default_rng(4), "cross", "green", motion, "grey")
        large = draw(scene, 128, 128, 9)
        halved = large.reshape(9, 64, 2, 64, 2, 3).mean((2, 4))
        small = draw(scene, 64, 64, 17)[::2]
        assert np.abs(halved - small).mean() < 0.004


def test_a_lone_frame_is_the_start() -> None:
    scene = place_scene(np.random.default_rng(5), "ring", "purple", "growing", "white")

    np.testing.assert_array_equal(draw(scene, 64, 64, 1)[0], draw(scene, 64, 64, 9)[0])


def test_varied_videos_are_videos_and_some_are_grey_after_the_first_frame() -> None:
    rng = np.random.default_rng(6)
    videos = [draw_varied(rng, 64, 48, 5) for _ in range(200)]

    for video in videos:
        assert video.shape == (5, 48, 64, 3)
        assert video.dtype == np.float32
        assert video.min() >= 0
        assert video.max() <= 1
    assert 8 <= sum(bool((video[1:] == 0.5).all()) for video in videos) <= 45
    assert len({tuple(video[0, 0, 0].round(3).tolist()) for video in videos}) > 80  # many grounds


def test_varied_videos_of_one_frame_show_something() -> None:
    rng = np.random.default_rng(8)

    assert all(draw_varied(rng, 64, 64, 1).std() > 0.01 for _ in range(20))
