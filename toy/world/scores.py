"""How many videos show what was asked for."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from toy.world.detect import Seen
from toy.world.scene import Scene

Attribute = Literal["shape", "colour", "motion", "background"]
ATTRIBUTES: tuple[Attribute, ...] = get_args(Attribute)

_Z_95 = 1.959964


@dataclass(frozen=True)
class Score:
    """`right` of `total` videos."""

    right: int
    total: int

    @property
    def share(self) -> float:
        return self.right / self.total

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval of the share."""
        n, z = self.total, _Z_95
        centre = (self.share + z**2 / (2 * n)) / (1 + z**2 / n)
        half = z / (1 + z**2 / n) * math.sqrt(self.share * (1 - self.share) / n + z**2 / (4 * n**2))
        return max(0.0, centre - half), min(1.0, centre + half)


@dataclass(frozen=True)
class Scores:
    """Scores of one set of videos: of each attribute asked for, and of all of them at once."""

    attributes: dict[Attribute, Score]
    together: Score


def is_right(scene: Scene, seen: Seen, attribute: Attribute) -> bool:
    return bool(getattr(scene, attribute) == getattr(seen, attribute))


def score(pairs: Sequence[tuple[Scene, Seen]], attributes: Sequence[Attribute] = ATTRIBUTES) -> Scores:
    """Scores of what was asked for and what was seen.

    Raises:
        ValueError: there are no videos.
    """
    if not pairs:
        raise ValueError("no videos to score")
    right = [[is_right(scene, seen, attribute) for attribute in attributes] for scene, seen in pairs]
    columns = dict(zip(attributes, zip(*right, strict=True), strict=True))
    return Scores(
        {attribute: Score(sum(column), len(pairs)) for attribute, column in columns.items()},
        Score(sum(map(all, right)), len(pairs)),
    )
