"""Every kind of weight source, tiny and untrained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from torch import nn

from smash_lightning.hypernet import GeneratedWeights, SharedWeights, WeightSource
from smash_lightning.hypernet.modulation import PARTS
from smash_lightning.random_streams import generator
from tests.cases import Case

Make = Callable[[Case, int], WeightSource]


def _hypernet(context: bool = False, **changes: Any) -> Make:
    def make(case: Case, seed: int) -> GeneratedWeights:
        shape: dict[str, Any] = {"width": None, "depths": (2, 1), "growth": 4, "noise": True}
        encoding = replace(case.encoding, context=context)
        return GeneratedWeights(encoding, case.space.image_spec, **shape | changes, generator=generator("tiny", seed))

    return make


def _modulated(case: Case, seed: int) -> GeneratedWeights:
    """After some training: at its beginning a modulation does nothing."""
    source = _hypernet(modulate=PARTS)(case, seed)
    assert isinstance(source, GeneratedWeights)
    assert source.modulation is not None
    for parameter in source.modulation.parameters():
        nn.init.normal_(parameter, std=0.3, generator=generator("modulation", seed))
    return source


def _shared(case: Case, seed: int) -> SharedWeights:
    return SharedWeights(case.encoding, case.space.image_spec, generator=generator("tiny", seed))


KINDS: dict[str, Make] = {
    "conditional": _hypernet(),
    "silent": _hypernet(noise=False),
    "unconditional": _hypernet(conditional=False),
    "residual": _hypernet(residual=True),
    "context": _hypernet(context=True),
    "modulated": _modulated,
    "shared": _shared,
}
every_kind = pytest.mark.parametrize("make", KINDS.values(), ids=KINDS.keys())
