"""Every kind of weight source, tiny and untrained."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from smash_lightning.hypernet import GeneratedWeights, SharedWeights, WeightSource
from smash_lightning.random_streams import generator
from tests.cases import Case

Make = Callable[[Case, int], WeightSource]


def _hypernet(**changes: Any) -> Make:
    def make(case: Case, seed: int) -> GeneratedWeights:
        shape: dict[str, Any] = {"width": None, "depths": (2, 1), "growth": 4, "noise": True}
        return GeneratedWeights(case.encoding, case.space.image_spec, **shape | changes, generator=generator("tiny", seed))

    return make


def _shared(case: Case, seed: int) -> SharedWeights:
    return SharedWeights(case.encoding, case.space.image_spec, generator=generator("tiny", seed))


KINDS: dict[str, Make] = {
    "conditional": _hypernet(),
    "silent": _hypernet(noise=False),
    "unconditional": _hypernet(conditional=False),
    "residual": _hypernet(residual=True),
    "shared": _shared,
}
every_kind = pytest.mark.parametrize("make", KINDS.values(), ids=KINDS.keys())
