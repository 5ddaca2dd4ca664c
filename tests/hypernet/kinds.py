"""Every class of weight source, tiny and untrained."""

from collections.abc import Callable
from typing import Any

import pytest

from smash_lightning.hypernet import (
    ConditionalHyperNet,
    MixtureHyperNet,
    ResidualHyperNet,
    SharedWeights,
    UnconditionalHyperNet,
    WeightSource,
)
from smash_lightning.random_streams import generator
from tests.cases import Case

Make = Callable[[Case, int], WeightSource]
TINY: dict[str, Any] = {"width": None, "depths": (2, 1), "growth": 4, "noise": True}


def of_case(kind: type[Any], case: Case, stream: object = "tiny", **options: Any) -> Any:
    """A source for the architectures of a case, with the case's depth compression."""
    if kind is not SharedWeights:
        options = TINY | {"depth_compression": case.encoding.depth_compression} | options
    stream = generator(*(stream if isinstance(stream, tuple) else (stream,)))
    return kind(case.space.limits, case.space.image_spec, stream, **options)


def _maker(kind: type[Any], **options: Any) -> Make:
    return lambda case, seed: of_case(kind, case, ("tiny", seed), **options)


KINDS: dict[str, Make] = {
    "conditional": _maker(ConditionalHyperNet),
    "without noise": _maker(ConditionalHyperNet, noise=False),
    "unconditional": _maker(UnconditionalHyperNet),
    "residual": _maker(ResidualHyperNet),
    "mixture": _maker(MixtureHyperNet),
    "shared": _maker(SharedWeights),
    "shared per kind": _maker(SharedWeights, per_kind=True),
}
every_kind = pytest.mark.parametrize("make", KINDS.values(), ids=KINDS.keys())
