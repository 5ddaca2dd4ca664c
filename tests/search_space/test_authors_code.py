"""The spaces of conf/search_space/*_code.yaml against what was measured of the authors' code."""

from dataclasses import replace
from functools import cache
from statistics import median
from typing import Any

import hydra
import pytest
from hydra.core.global_hydra import GlobalHydra

from smash_lightning.architecture import Architecture, Convolution, cost
from smash_lightning.configuration import CONF
from smash_lightning.configuration.build import instantiate
from smash_lightning.random_streams import rng
from smash_lightning.search_space import MemoryBankSpace, ParallelConvolutions
from tests.cases import CIFAR100

START, ANNEALED = 0.0, 1.0
DRAWS = 150  # the median of 60 has a standard error of 7 %


@cache
def space(name: str) -> MemoryBankSpace:
    GlobalHydra.instance().clear()
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        options: Any = hydra.compose("config", [f"search_space={name}"]).search_space
        return instantiate(options, "search_space")(image_spec=CIFAR100)


def reads(architecture: Architecture) -> list[list[int]]:
    return [[len(op.read) * block.width for op in block.ops] for block in architecture.blocks]


# Medians of 60 architectures that the authors' code drew, as millions of parameters.
@pytest.mark.parametrize(
    ("name", "progress", "ops", "millions"),
    [
        ("smashv1_code", START, 25, 0.49),
        ("smashv1_code", ANNEALED, 37, 1.5),
        ("smashv2_code", START, 25, 1.04),
        ("smashv2_code", ANNEALED, 37, 3.9),
    ],
)
def test_medians_are_those_of_the_authors_code(name: str, progress: float, ops: int, millions: float) -> None:
    costs = [cost(space(name).sample(rng("code", seed), progress), CIFAR100) for seed in range(DRAWS)]
    assert median(each.ops for each in costs) == pytest.approx(ops, rel=0.1)
    assert median(each.params for each in costs) / 1e6 == pytest.approx(millions, rel=0.1)


@pytest.mark.parametrize("name", ["smashv1_code", "smashv2_code"])
def test_samples_and_perturbations_stay_in_the_space(name: str) -> None:
    drawn, exceeding = space(name), 0
    for seed in range(12):
        architecture = drawn.sample(rng("code", seed), seed / 12)
        changed = drawn.perturb(architecture, rng("changed", seed), 0.05)
        for each in (architecture, changed):
            assert drawn.violation(each) is None
            for channels, spent in zip((64, 128, 256), reads(each), strict=True):
                assert sum(spent[:-1]) < 14 * channels, "only the last op of a block may exceed its budget"
                exceeding += sum(spent) > 14 * channels
            convolutions = [c for op in each.ops() for path in op.paths for c in path]
            pairs = {pair for c in convolutions for pair in zip(c.kernel, c.dilation, strict=True)}
            assert all(d * (k - 1) + 1 <= {3: 7, 5: 9, 7: 7}[k] for k, d in pairs)
    assert exceeding
    tight = replace(drawn, budget_depth=1)
    assert "channels_read, more than the budget of 64" in str(tight.violation(architecture))
    wide = replace(drawn, body=replace(drawn.body, max_dilation=4))
    dilated = (wide.sample(rng("wide", seed)) for seed in range(4))
    refused = {reason for each in dilated if (reason := drawn.violation(each))}
    assert any("dilation 4 is not one of [1, 2, 3]" in reason for reason in refused)


def test_paths_meet_in_gates_as_often_as_the_option_states() -> None:
    paths = ((Convolution((3, 3), (1, 1)),),) * 2
    for gates in (0.0, 0.5, 1.0):
        body = ParallelConvolutions(gates=gates)
        drawn = [body.draw_meet(paths, rng("meet", index)) == "gate" for index in range(200)]
        assert abs(sum(drawn) / 200 - gates) < 0.1
