"""A class and its options, as a configuration names them and a checkpoint keeps them."""

from dataclasses import asdict, replace
from typing import Any

import pytest
import torch
import yaml

from smash_lightning.hypernet import (
    ConditionalHyperNet,
    HyperNetSpecification,
    MixtureHyperNet,
    ResidualHyperNet,
    SharedWeights,
    UnconditionalHyperNet,
)
from tests.cases import BARE_CASES
from tests.hypernet.kinds import TINY

SPACE = BARE_CASES["v1-2d"].space
PACKAGE = (ConditionalHyperNet, UnconditionalHyperNet, ResidualHyperNet, MixtureHyperNet, SharedWeights)


def test_a_specification_is_plain(tmp_path: Any) -> None:
    torch.save(asdict(TINY), tmp_path / "plain.pt")
    loaded = torch.load(tmp_path / "plain.pt", weights_only=True)
    assert HyperNetSpecification(**loaded) == TINY
    assert HyperNetSpecification(**yaml.safe_load(yaml.safe_dump(asdict(TINY)))) == TINY
    assert replace(TINY, options={**TINY.options, "depths": [2, 1]}) == TINY


def test_another_class_has_the_options_that_both_have() -> None:
    shared = TINY.with_kind(SharedWeights)
    assert shared.options == {}
    assert TINY.with_kind(ResidualHyperNet).options == TINY.options
    assert TINY.with_values({"target": TINY.target, "growth": 6}).options == {**TINY.options, "growth": 6}


@pytest.mark.parametrize("kind", PACKAGE)
def test_a_check_takes_no_memory_and_draws_nothing(kind: type[Any]) -> None:
    before = torch.random.get_rng_state()
    large = (
        HyperNetSpecification.of(kind) if kind is SharedWeights else TINY.with_kind(kind).with_values({"width": 10**5})
    )
    large.check(SPACE)
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 0}, r"hypernet\.width must be greater than 0, got 0"),
        ({"depths": (2, 0)}, r"hypernet\.depths must be greater than 0, got \[2, 0\]"),
        ({"depths": ()}, r"hypernet\.depths must have at least 1 item"),
        ({"widht": 4}, r"hypernet\.widht: there is no such value; known: width, depths"),
        ({"target": "smash_lightning.hypernet.Other"}, r"hypernet\._target_=smash_lightning\.hypernet\.Other: "),
        ({"target": "nowhere.Other"}, r"hypernet\._target_=nowhere\.Other: No module named 'nowhere'"),
        ({"target": "torch.nn.Linear"}, r"hypernet must be a WeightSource, and torch\.nn\.Linear is none"),
        ({"width": torch.zeros(())}, r"hypernet\.width must be a plain value"),
    ],
)
def test_impossible_hypernets_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TINY.with_values(changes).check(SPACE)


def test_options_of_another_class_are_named() -> None:
    with pytest.raises(ValueError, match=r"hypernet, .*SharedWeights: got an unexpected keyword argument 'width'"):
        HyperNetSpecification.of(SharedWeights, width=3).check(SPACE)
