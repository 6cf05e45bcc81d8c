"""Learning rate over a stage: linear warm-up, then half a cosine."""

import math


def warm_cosine(step: int, steps: int, warm_up: int, final: float) -> float:
    """The factor on the peak learning rate at `step` (from 0) of `steps`.

    Rises linearly over the first `warm_up` steps and falls to `final` (a fraction of the peak) at the last step.
    """
    rise = min(1.0, (step + 1) / warm_up) if warm_up else 1.0
    fall = final + (1 - final) * 0.5 * (1 + math.cos(math.pi * min(1.0, step / steps)))
    return rise * fall
