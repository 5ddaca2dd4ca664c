"""Bounds on the cost: every strategy satisfies them, and a bound that no architecture satisfies is an error."""

import statistics
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from smash_lightning.architecture import Architecture, cost
from smash_lightning.network import StandaloneNetwork
from smash_lightning.random_streams import rng
from smash_lightning.scoring import Bounds, measured_latency
from smash_lightning.scoring.constraints import CandidateFilter
from smash_lightning.strategies import Random, Strategy
from tests.cases import V1
from tests.strategies.synthetic import STRATEGIES, Separable, complete, ranking

LOSS = Separable.over(V1)
COSTS = [cost(V1.sample(rng("cost", i)), V1.image_spec) for i in range(60)]
PARAMS, MACS = (int(statistics.median(getattr(each, name) for each in COSTS)) for name in ("params", "macs"))
every_strategy = pytest.mark.parametrize("make", STRATEGIES.values(), ids=STRATEGIES.keys())


def depth(architecture: Architecture) -> float:
    """In place of a latency, which would vary."""
    return float(sum(1 for _ in architecture.ops()))


MEASURES = {
    "max_params": lambda architecture: cost(architecture, V1.image_spec).params,
    "max_macs": lambda architecture: cost(architecture, V1.image_spec).macs,
    "max_latency": depth,
}


def bounds(**largest: float) -> Bounds:
    return {name: (value, MEASURES[name]) for name, value in largest.items()}


@every_strategy
def test_strategies_satisfy_bounds(make: Callable[[int], Strategy]) -> None:
    free = ranking(V1, (Random(8), make(6)), LOSS)
    rows = complete(free, LOSS).rows
    for name, largest in {"max_params": PARAMS, "max_macs": MACS, "max_latency": 4.0}.items():
        bound, measure = replace(free, bounds=bounds(**{name: largest})), MEASURES[name]
        assert any(measure(row.candidate.architecture) > largest for row in rows)
        state = complete(bound, LOSS)
        assert not any(measure(row.candidate.architecture) > largest for row in state.rows)
        assert len({row.candidate.architecture for row in state.rows}) == 14
        assert complete(bound, LOSS, limit=5).rows == state.rows
    satisfied = replace(free, bounds=bounds(max_params=10**9, max_macs=10**12, max_latency=1e9))
    assert complete(satisfied, LOSS).rows == rows


def test_bounds_are_inclusive() -> None:
    architecture = V1.sample(rng("exact"))
    values = {name: measure(architecture) for name, measure in MEASURES.items()}
    assert CandidateFilter(set(), set(), bounds(**values))(architecture)
    for name, value in values.items():
        assert not CandidateFilter(set(), set(), bounds(**{name: value - 1}))(architecture)


def test_latency_is_measured_last() -> None:
    measured: list[Architecture] = []

    def latency(architecture: Architecture) -> float:
        measured.append(architecture)
        return 1.0

    both = {**bounds(max_params=PARAMS), "max_latency": (2.0, latency)}
    state = complete(replace(ranking(V1, (Random(10),), LOSS), bounds=both), LOSS)
    assert measured == [row.candidate.architecture for row in state.rows]


def test_a_bound_that_nothing_satisfies_is_an_error() -> None:
    bound = replace(ranking(V1, (Random(1),), LOSS), bounds=bounds(max_latency=0.5))
    message = r"ranking.max_latency=0.5 \(the smallest that was rejected has 2\)"
    text = f"random: no new architecture within {message} in 1000 attempts after 0 were scored; raise the bound"
    with pytest.raises(ValueError, match=text):
        complete(bound, LOSS)


def test_an_architecture_is_measured_once_and_can_be_trained_afterwards() -> None:
    latency = measured_latency(V1.image_spec, "cpu", batch=2)
    first, second = V1.sample(rng("first")), V1.sample(rng("second"))
    milliseconds = latency(first)
    assert milliseconds > 0
    assert latency(second) > 0
    assert latency(first) == milliseconds
    network = StandaloneNetwork(first, V1.image_spec)
    network(torch.randn(2, V1.image_spec.channels, *V1.image_spec.size)).sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
