"""Fitted growth of times."""

import json
from pathlib import Path

import numpy as np
import pytest

from smash_lightning.analyses import benchmark
from smash_lightning.analyses.growth import FACTORS, deeper, fit, wider
from smash_lightning.random_streams import rng
from tests.analyses.small_analysis import NO_LOGGERS, experiment_on
from tests.cases import CASES


def test_exponents_of_powers_are_found() -> None:
    sizes = np.array(FACTORS, dtype=float)
    found = fit(np.stack([3 * sizes**1.5, 7 * sizes**0.5]))
    assert found["exponent"] == pytest.approx(1)
    assert found["last"] == pytest.approx(1)
    assert found["standard_error"] == pytest.approx(0.5), "the exponents are 1 +- 0.5"
    later = fit(np.stack([100 + sizes, 100 + sizes]))
    assert 0 < later["exponent"] < later["last"] < 0.1
    assert later["standard_error"] == 0


@pytest.mark.parametrize("name", ["v1-2d", "v2-2d", "v2-3d"])
def test_sizes_grow_within_the_limits(name: str) -> None:
    space = CASES[name].space
    for index in range(5):
        one, wide = (s.sample(rng("growth", index)) for s in (space, wider(space, 3)))
        assert [block.width for block in wide.blocks] == [3 * block.width for block in one.blocks]
        assert [(op.read, op.write, op.units, op.paths) for op in wide.ops()] == [
            (op.read, op.write, op.units, op.paths) for op in one.ops()
        ]
        assert space.limits.violation(deep := deeper(one, 3)) is None
        assert len(list(deep.ops())) == 3 * len(list(one.ops()))


def test_each_growth_has_an_exponent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("smash_lightning.analyses.growth.FACTORS", (1, 2))
    experiment = experiment_on(None, tmp_path)
    experiment.prepare_folder()
    benchmark(experiment, NO_LOGGERS, repeats=1, architectures=2, growth=True)
    rows = json.loads((tmp_path / "growth.json").read_text())["growth"]
    expected = {(work, size) for work in ("step", "generation", "score") for size in ("depth", "width", "batch")}
    assert {(row["work"], row["size"]) for row in rows} == expected | {("ranking", "candidates")}
    assert all(len(row["milliseconds"]) == 2 and min(row["milliseconds"]) > 0 for row in rows)
