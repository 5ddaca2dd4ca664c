"""The Pareto front of score and cost."""

import math
from collections.abc import Sequence


def pareto_front(scores: Sequence[float], costs: Sequence[float]) -> list[int]:
    """Indices of the points that no other one dominates, by rising cost.

    A point dominates another that has neither a lower score nor a lower cost, and differs in one of them; equal points
    do not dominate each other. A point with a value that is not a number is never on the front.

    Args:
        scores: (n,), lower is better.
        costs: (n,), lower is better, such as parameters or milliseconds.
    """
    pairs = enumerate(zip(scores, costs, strict=True))
    points = sorted((c, s, i) for i, (s, c) in pairs if not (math.isnan(s) or math.isnan(c)))
    front: list[tuple[float, float, int]] = []
    for point in points:
        # All earlier points cost no more, so only a lower score, or equality in both, is undominated.
        if not front or point[1] < front[-1][1] or point[:2] == front[-1][:2]:
            front.append(point)
    return [index for _, _, index in front]
