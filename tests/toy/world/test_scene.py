"""Scenes: every class equally likely, and a geometry that shows the motion."""

from collections import Counter

import numpy as np
import pytest

from toy.world.scene import BACKGROUNDS, COLOURS, MOTIONS, SHAPES, Scene, place_scene, sample_scene


def test_all_classes_are_equally_likely() -> None:
    rng = np.random.default_rng(0)
    scenes = [sample_scene(rng) for _ in range(4200)]

    for field, names in (
        ("shape", SHAPES),
        ("colour", COLOURS),
        ("motion", MOTIONS),
        ("background", BACKGROUNDS),
    ):
        counts = Counter(getattr(scene, field) for scene in scenes)
        assert set(counts) == set(names)
        for count in counts.values():
            assert count == pytest.approx(4200 / len(names), rel=0.2)


def test_motions_can_be_chosen() -> None:
    rng = np.random.default_rng(0)

    assert {sample_scene(rng, motions=("still",)).motion for _ in range(20)} == {"still"}


def test_the_same_seed_gives_the_same_scene() -> None:
    assert sample_scene(np.random.default_rng(7)) == sample_scene(np.random.default_rng(7))


@pytest.mark.parametrize("seed", range(5))
def test_the_geometry_is_that_of_the_motion(seed: int) -> None:
    def placed(motion: str) -> Scene:
        return place_scene(np.random.default_rng(seed), "circle", "red", motion, "black")  # type: ignore[arg-type]

    def change(motion: str) -> tuple[float, float, float]:
        start, end = placed(motion).start, placed(motion).end
        return end.x - start.x, end.y - start.y, end.radius - start.radius

    assert change("still") == (0, 0, 0)
    for motion, axis, sign in (("right", 0, 1), ("left", 0, -1), ("down", 1, 1), ("up", 1, -1)):
        step = change(motion)
        assert sign * step[axis] >= 0.69
        assert step[1 - axis] == 0
        assert step[2] == 0
    for motion, sign in (("growing", 1), ("shrinking", -1)):
        x, y, radius = change(motion)
        assert (x, y) == (0, 0)
        assert sign * radius > 0.15


def test_places_are_within_the_frame() -> None:
    rng = np.random.default_rng(3)
    for _ in range(200):
        scene = sample_scene(rng)
        for place in (scene.start, scene.end):
            assert 0 <= place.x <= 1
            assert 0 <= place.y <= 1
