"""Bounds on the cost: every strategy satisfies them, and a bound that no architecture satisfies is an error."""

import statistics
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from smash_lightning.architecture import Architecture, cost
from smash_lightning.network import StandaloneNetwork
from smash_lightning.random_streams import rng
from smash_lightning.scoring import Constraints, measured_latency
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


@every_strategy
@pytest.mark.parametrize(
    "constraints",
    [Constraints(max_params=PARAMS), Constraints(max_macs=MACS), Constraints(max_latency=4.0, latency=depth)],
    ids=["params", "macs", "latency"],
)
def test_strategies_satisfy_bounds(constraints: Constraints, make: Callable[[int], Strategy]) -> None:
    free = ranking(V1, (Random(8), make(6)), LOSS)
    bound = replace(free, constraints=constraints)

    def violates(architecture: Architecture) -> bool:
        size = cost(architecture, V1.image_spec)
        return (
            (constraints.max_params is not None and size.params > constraints.max_params)
            or (constraints.max_macs is not None and size.macs > constraints.max_macs)
            or (constraints.max_latency is not None and depth(architecture) > constraints.max_latency)
        )

    assert any(violates(row.candidate.architecture) for row in complete(free, LOSS).rows)
    state = complete(bound, LOSS)
    assert not any(violates(row.candidate.architecture) for row in state.rows)
    assert len({row.candidate.architecture for row in state.rows}) == 14
    assert complete(bound, LOSS, limit=5).rows == state.rows


@every_strategy
def test_a_bound_that_all_satisfy_changes_nothing(make: Callable[[int], Strategy]) -> None:
    free = ranking(V1, (Random(8), make(6)), LOSS)
    satisfied = replace(free, constraints=Constraints(10**9, 10**12, 1e9, depth))
    assert complete(satisfied, LOSS).rows == complete(free, LOSS).rows


def test_bounds_are_inclusive() -> None:
    architecture = V1.sample(rng("exact"))
    size = cost(architecture, V1.image_spec)
    values = {"max_params": size.params, "max_macs": size.macs, "max_latency": depth(architecture)}
    assert Constraints(**values, latency=depth).violated(architecture, V1.image_spec) is None
    for name, value in values.items():
        bound = Constraints(**{name: value - 1}, latency=depth)
        assert bound.violated(architecture, V1.image_spec) == (name, value)


def test_latency_is_measured_last() -> None:
    measured: list[Architecture] = []

    def latency(architecture: Architecture) -> float:
        measured.append(architecture)
        return 1.0

    bound = replace(
        ranking(V1, (Random(10),), LOSS), constraints=Constraints(max_params=PARAMS, max_latency=2.0, latency=latency)
    )
    state = complete(bound, LOSS)
    assert measured == [row.candidate.architecture for row in state.rows]


@pytest.mark.parametrize(
    ("constraints", "message"),
    [
        (Constraints(max_params=10), r"ranking.max_params=10 \(the smallest that was rejected has \d+\)"),
        (Constraints(max_macs=10), r"ranking.max_macs=10 \(the smallest that was rejected has \d+\)"),
        (
            Constraints(max_latency=0.5, latency=depth),
            r"ranking.max_latency=0.5 \(the smallest that was rejected has 2\)",
        ),
    ],
)
def test_a_bound_that_nothing_satisfies_is_an_error(constraints: Constraints, message: str) -> None:
    bound = replace(ranking(V1, (Random(1),), LOSS), constraints=constraints)
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
