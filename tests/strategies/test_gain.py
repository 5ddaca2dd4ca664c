"""On a separable score each learned strategy beats random draws, over several seeds."""

import statistics
from collections.abc import Callable

import pytest

from smash_lightning.strategies import Random, Strategy
from tests.strategies.synthetic import EQUAL_OPS, LEARNED, Separable, complete, ranking


@pytest.mark.slow
@pytest.mark.parametrize("make", LEARNED.values(), ids=LEARNED.keys())
def test_learned_strategies_find_better_ones_than_random_draws(make: Callable[[int], Strategy]) -> None:
    gains = []
    for seed in range(6):
        loss = Separable.over(EQUAL_OPS, seed)
        learned, draws = (
            [row.val_loss for row in complete(ranking(EQUAL_OPS, (Random(30), second), loss, seed), loss).rows]
            for second in (make(30), Random(30))
        )
        assert learned[:30] == draws[:30]
        gains.append((statistics.mean(draws[30:]) - statistics.mean(learned[30:])) / statistics.stdev(draws))
    assert statistics.mean(gains) > 0.4  # standard deviations of random draws; .8 to 4 were seen
    assert statistics.mean(gains) > 3 * statistics.stdev(gains) / len(gains) ** 0.5  # 5 to 15 with eight seeds
