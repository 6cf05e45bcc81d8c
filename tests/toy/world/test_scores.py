"""Scores and their intervals."""

import numpy as np
import pytest

from toy.world.detect import Seen
from toy.world.scene import Scene, place_scene
from toy.world.scores import Score, score


def scene() -> Scene:
    return place_scene(np.random.default_rng(0), "circle", "red", "right", "black")


@pytest.mark.parametrize(
    ("right", "total", "low", "high"),
    [(0, 10, 0, 0.2775), (10, 10, 0.7225, 1), (5, 10, 0.2366, 0.7634), (196, 200, 0.9497, 0.9922)],
)
def test_the_interval_is_wilsons(right: int, total: int, low: float, high: float) -> None:
    assert Score(right, total).share == right / total
    assert Score(right, total).interval == pytest.approx((low, high), abs=1e-4)


def test_attributes_are_counted_one_by_one_and_together() -> None:
    scores = score(
        [
            (scene(), Seen("circle", "red", "right", "black")),
            (scene(), Seen("square", "red", "right", "black")),
            (scene(), Seen("circle", None, "left", "black")),
        ]
    )

    assert scores.attributes == {
        "shape": Score(2, 3),
        "colour": Score(2, 3),
        "motion": Score(2, 3),
        "background": Score(3, 3),
    }
    assert scores.together == Score(1, 3)


def test_of_images_motion_does_not_count() -> None:
    scores = score([(scene(), Seen("circle", "red", "still", "black"))], ("shape", "colour", "background"))

    assert "motion" not in scores.attributes
    assert scores.together == Score(1, 1)


def test_no_videos_have_no_score() -> None:
    with pytest.raises(ValueError, match="no videos"):
        score([])
