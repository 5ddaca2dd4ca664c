"""HyperNets with another input than the architecture's c."""

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import spearmanr
from torch import Tensor

from smash_lightning.analyses import corruption
from smash_lightning.analyses.corruption import (
    EMPTIED,
    OWN,
    SWAPPED,
    Corruption,
    compare,
    corrupted,
    corruptions,
    emptied,
    noisy,
    swapped,
)
from smash_lightning.architecture import Architecture
from smash_lightning.encoding import EMPTY
from smash_lightning.hypernet import ConditionalHyperNet, UnconditionalHyperNet
from smash_lightning.random_streams import generator
from tests.analyses.small_analysis import NO_LOGGERS, TRAINED, copied, experiment_on, read_results
from tests.cases import BARE_CASES, Case, every_bare_case
from tests.hypernet.kinds import of_case


def swap(one: Architecture, other: Architecture) -> Corruption:
    return partial(swapped, {one.fingerprint: other})


def generated(source: ConditionalHyperNet, corruption: Corruption, architecture: Architecture) -> dict[str, Tensor]:
    return dict(corrupted(source, corruption)(architecture, source.noise(architecture, generator("z"))))


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    assert one.keys() == other.keys()
    return all(torch.equal(one[name], other[name]) for name in one)


@every_bare_case
def test_with_the_own_c_nothing_changes_and_an_empty_one_is_an_unconditional_hypernet(case: Case) -> None:
    source, architecture, other = of_case(ConditionalHyperNet, case), case.draw(1), case.draw(2)
    expected = dict(source(architecture, source.noise(architecture, generator("z"))))
    assert same(generated(source, partial(noisy, 0, 5), architecture), expected)
    assert same(generated(source, swap(architecture, architecture), architecture), expected)
    assert not same(generated(source, partial(noisy, 1, 5), architecture), expected)
    assert not same(generated(source, swap(architecture, other), architecture), expected)
    assert same(dict(source(architecture, source.noise(architecture, generator("z")))), expected), "it is a copy"
    unconditional = of_case(UnconditionalHyperNet, case)
    unconditional.load_state_dict(source.state_dict())
    empty = dict(unconditional(architecture, unconditional.noise(architecture, generator("z"))))
    assert same(generated(source, emptied, architecture), empty)


@every_bare_case
def test_a_swapped_c_is_cut_or_filled_up_with_empty_slices(case: Case) -> None:
    source, lengths = of_case(ConditionalHyperNet, case), set()
    for seed in range(12):
        mine, other = case.draw(seed), case.draw(seed + 1)
        found = swap(mine, other)(source, mine)
        own, theirs = source.encode(mine), source.encode(other)
        assert found.shape == own.shape
        for slice_ in range(own.shape[-1]):
            expected = theirs[..., slice_] if slice_ < theirs.shape[-1] else torch.full_like(own[..., 0], EMPTY)
            assert torch.equal(found[..., slice_], expected)
        lengths.add(np.sign(own.shape[-1] - theirs.shape[-1]))
    assert {-1, 1} <= lengths, "both occurred"


def test_noise_has_one_direction_for_each_architecture_and_the_given_std() -> None:
    case = BARE_CASES["v1-2d"]
    source, architecture = of_case(ConditionalHyperNet, case), case.draw(1)
    c = source.encode(architecture)
    one, four = (noisy(sigma, 5, source, architecture) - c for sigma in (1, 4))
    torch.testing.assert_close(four, 4 * one, atol=1e-5, rtol=1e-5)
    assert one.std().item() == pytest.approx(1, abs=0.1)
    assert one.mean().item() == pytest.approx(0, abs=0.1)
    assert not torch.allclose(one, noisy(1, 6, source, architecture) - c, atol=1e-3)
    other = next(a for a in map(case.draw, range(2, 99)) if source.encode(a).shape == c.shape and a != architecture)
    assert not torch.allclose(one, noisy(1, 5, source, other) - source.encode(other), atol=1e-3)


def test_every_c_is_swapped_once() -> None:
    pool = [BARE_CASES["v1-2d"].draw(seed) for seed in range(6)]
    found = corruptions(pool, [4, 0, 0.5], 0)
    assert list(found) == [OWN, "noise 0.5", "noise 4", SWAPPED, EMPTIED]
    (others,) = found[SWAPPED].args  # type: ignore[attr-defined]
    assert all(others[one.fingerprint] != one for one in pool)
    assert set(others.values()) == set(pool)


def test_estimates_equal_the_slow_ones_and_differences_are_paired() -> None:
    rng = np.random.default_rng(0)
    own, test_loss = rng.normal(size=20), rng.normal(size=20)
    test_loss[[2, 5, 11]] = np.nan
    known = ~np.isnan(test_loss)
    losses = {OWN: own, "shifted": own + 0.25, "other": own + rng.normal(size=20)}
    columns = [{"input": n, "val_loss": loss, "val_error": 10 * loss} for n, loss in losses.items()]
    found = compare(pd.concat(map(pd.DataFrame, columns)).assign(true_loss=np.tile(test_loss, 3)), 300, 0)
    for name, loss in losses.items():
        spearman, base = (spearmanr(one[known], test_loss[known]).statistic for one in (loss, own))
        expected = {"val_loss": loss.mean(), "val_error": 10 * loss.mean(), "spearman": spearman}
        if name != OWN:
            difference = (loss - own).mean()
            expected |= {"delta_val_loss": difference, "delta_val_error": 10 * difference}
            expected |= {"order": spearmanr(loss, own).statistic, "delta_spearman": spearman - base}
        assert {key: one and one.value for key, one in found[name].items()} == pytest.approx(expected)
    widths = {key: one.high - one.low for key, one in found["shifted"].items() if one is not None}
    assert (widths["delta_val_loss"], widths["delta_spearman"]) == pytest.approx((0, 0), abs=1e-12)
    assert widths["val_loss"] > 0.5


def test_it_writes_table_estimates_and_picture(source: Path, tmp_path: Path) -> None:
    cost = corruption(experiment_on(source, tmp_path), NO_LOGGERS, architectures=TRAINED + 1, levels=[0, 0.5, 4])
    rows, found = read_results(tmp_path, "corruption")
    assert len(rows) == (TRAINED + 1) * 5
    assert (found["architectures"], found["with_test_loss"]) == (TRAINED + 1, TRAINED), "those with one come first"
    own = rows[rows["input"] == OWN].set_index("fingerprint")
    ranked = pd.read_csv(source / "ranking.csv").set_index("fingerprint").loc[own.index]
    for column in ("val_loss", "val_error"):
        assert own[column].to_numpy() == pytest.approx(ranked[column].to_numpy(), rel=1e-6)
    assert own["val_loss"].to_numpy() == pytest.approx(own[["val_loss_0", "val_loss_1"]].mean(axis=1).to_numpy())
    means = rows.groupby("input")["val_loss"].mean()
    expected = pytest.approx(means[SWAPPED] - means[OWN])
    assert cost == found["inputs"][SWAPPED]["delta_val_loss"]["value"] == expected != 0


def test_without_trainings_there_is_no_ground_truth(source: Path, tmp_path: Path) -> None:
    names = ("ranking.csv", "architectures.jsonl", "checkpoints/hypernet0.ckpt", "checkpoints/hypernet1.ckpt")
    earlier = copied(source, tmp_path / "earlier", *names)
    assert corruption(experiment_on(earlier, tmp_path / "new"), NO_LOGGERS, architectures=6, levels=[1]) is not None
    rows, found = read_results(tmp_path / "new", "corruption")
    assert found["with_test_loss"] == 0
    assert rows["true_loss"].isna().all()
    assert {one["spearman"] for one in found["inputs"].values()} == {None}
