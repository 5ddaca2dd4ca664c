"""Every class of weight source, tiny and untrained."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from smash_lightning.hypernet import (
    ConditionalHyperNet,
    HyperNetSpecification,
    MixtureHyperNet,
    ResidualHyperNet,
    SharedWeights,
    UnconditionalHyperNet,
    WeightSource,
)
from smash_lightning.random_streams import generator
from tests.cases import Case

TINY = HyperNetSpecification.of(ConditionalHyperNet, width=None, depths=(2, 1), growth=4)
SPECIFICATIONS = {
    "conditional": TINY,
    "without noise": TINY.with_values({"noise": False}),
    "unconditional": TINY.with_kind(UnconditionalHyperNet),
    "residual": TINY.with_kind(ResidualHyperNet),
    "mixture": TINY.with_kind(MixtureHyperNet),
    "shared": TINY.with_kind(SharedWeights),
    "shared per kind": TINY.with_kind(SharedWeights).with_values({"per_kind": True}),
}


def of_case(kind: type[Any], case: Case, *stream: object, **options: Any) -> Any:
    """A source for the architectures of a case, with the case's depth compression."""
    options = dict(TINY.with_kind(kind).options) | options
    if kind is not SharedWeights:
        options["depth_compression"] = case.depth_compression
    return kind(case.space.limits, case.space.image_spec, generator(*(stream or ("tiny",))), **options)


def _make(specification: HyperNetSpecification, case: Case, seed: int) -> WeightSource:
    source: WeightSource = of_case(specification.kind, case, "tiny", seed, **specification.options)
    return source


Make = Callable[[Case, int], WeightSource]
KINDS: dict[str, Make] = {name: partial(_make, each) for name, each in SPECIFICATIONS.items()}
every_kind = pytest.mark.parametrize("make", KINDS.values(), ids=KINDS.keys())
