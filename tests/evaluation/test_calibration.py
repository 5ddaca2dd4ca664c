"""The calibrated prediction on made-up pools whose ground truth is known."""

import json
import math
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from smash_lightning.evaluation.best_found import DRAWS, best_found
from smash_lightning.evaluation.calibration import FEATURES, LEAST, calibrate
from smash_lightning.evaluation.coefficients import Floats, spearman
from smash_lightning.evaluation.ground_truths import LIBRARY, SHIPPED, Identity, read_library
from smash_lightning.evaluation.ridge import (
    PENALTIES,
    WEIGHTS,
    Fitter,
    Normal,
    cross_fit,
    equations,
    fit,
    normal_scores,
    random_folds,
    scores,
)
from smash_lightning.evaluation.tables import GROUND_TRUTHS, read_table, write_table
from tests.evaluation.study_tables import IDENTITY, known_ground_truths

SKILL = {"val_loss": 0.7, "params": -0.4, "baseline_synflow": 0.3}


def pool(rng: np.random.Generator, count: int = 60, sign: float = 1, useless: bool = False) -> pd.DataFrame:
    """Architectures whose losses follow the features of SKILL, times `sign`, and noise."""
    names = ["val_loss", "smash_score", "val_error", "params", "macs", "ops", "baseline_synflow", "baseline_snip"]
    columns = {name: rng.normal(size=count) for name in names}
    quality = sum(skill * columns[name] for name, skill in SKILL.items() if name == "val_loss" or not useless)
    loss = 0.14 + 0.02 * (sign * quality + 0.7 * rng.normal(size=count))
    sizes = {name: 9_000 + 200 * columns[name] for name in ("params", "macs")}
    known = {"fingerprint": [value.hex() for value in loss], "strategy": "random", "representative": 1}
    return pd.DataFrame(columns | sizes | known | {"true_loss": loss})


def arrays(rng: np.random.Generator, **options: float) -> tuple[Floats, Floats]:
    table = pool(rng, **options)  # type: ignore[arg-type]
    names = ["val_loss", "params", "macs", "ops", "baseline_synflow", "baseline_snip"]
    return normal_scores(table[names].to_numpy()), normal_scores(table["true_loss"].to_numpy())


def predicted(features: Floats, target: Floats, others: Normal | None = None, repetitions: int = 10) -> Floats:
    weights, folds = np.ones((repetitions, len(target))), np.random.default_rng(0)
    return cross_fit(features, target, weights, random_folds(len(target), repetitions, folds), others).mean(0)


def rho(x: Floats, y: Floats) -> float:
    return float(spearman(x, y, np.ones((1, len(x))))[0])


@pytest.mark.parametrize("library", [False, True])
def test_a_fit_is_that_of_one_architecture_left_out_at_a_time(library: bool) -> None:
    rng = np.random.default_rng(3)
    features, target = arrays(rng, count=24)
    others = equations([arrays(rng)]) if library else None
    counts = rng.multinomial(24, np.full(24, 1 / 24)).astype(float)

    def solved(counts: Floats, weight: float, penalty: float) -> Floats:
        square, product = (features.T * counts) @ features, (features.T * counts) @ target
        if others:
            square, product = square + weight * others[0], product + weight * others[1]
        if math.isinf(penalty):
            return np.array([product[0] / square[0, 0], *np.zeros(len(square) - 1)])
        return np.asarray(np.linalg.solve(square + np.diag([0.0] + [penalty] * (len(square) - 1)), product))

    def error(weight: float, penalty: float) -> float:
        total = 0.0
        for i in np.flatnonzero(counts):
            without = np.where(np.arange(24) == i, 0, counts)  # without all of its copies
            total += counts[i] * (target[i] - features[i] @ solved(without, weight, penalty)) ** 2
        return total

    choices = [(w, p) for w in (WEIGHTS if library else (0.0,)) for p in (*PENALTIES, math.inf)]
    best = min(choices, key=lambda choice: error(*choice))
    np.testing.assert_allclose(fit(features, target, counts[None], others)[0], solved(counts, *best), atol=1e-9)


def test_no_held_out_ground_truth_enters_its_prediction() -> None:
    rng = np.random.default_rng(1)
    features, target = arrays(rng)
    folds, weights = random_folds(60, 1, rng), rng.multinomial(60, np.full(60, 1 / 60), size=1).astype(float)
    before = cross_fit(features, target, weights, folds)
    for fold in range(10):
        other = np.where(folds[0] == fold, rng.normal(size=60), target)
        after = cross_fit(features, other, weights, folds)
        np.testing.assert_array_equal(after[folds == fold], before[folds == fold])
        assert (after[folds != fold] != before[folds != fold]).any()


def test_permuted_ground_truths_are_not_predicted() -> None:
    rng = np.random.default_rng(2)
    features, target = arrays(rng)
    found = [rho(predicted(features, order), order) for order in rng.permuted(np.tile(target, (60, 1)), axis=1)]
    assert np.mean(found) < 2 * np.std(found) / math.sqrt(60)


def test_useless_features_and_a_misleading_library_cost_at_most_noise() -> None:
    rng = np.random.default_rng(4)
    cost: dict[str, list[float]] = {"useless": [], "misleading": [], "fitting": []}
    for _ in range(40):
        features, target = arrays(rng, useless=True)
        cost["useless"].append(rho(features[:, 0], target) - rho(predicted(features, target), target))
        features, target = arrays(rng)
        own = rho(predicted(features, target), target)
        for name, sign in (("misleading", -1.0), ("fitting", 1.0)):
            others = equations([arrays(rng, sign=sign) for _ in range(3)])
            cost[name].append(own - rho(predicted(features, target, others), target))
    means = {name: np.mean(values) for name, values in cost.items()}
    assert means["useless"] < 0.03
    assert means["misleading"] < 0.03
    assert means["fitting"] < 0


@pytest.mark.slow
def test_intervals_cover(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 60 pools, about 95 % of the intervals hold the expected coefficient and the expected difference."""
    module = import_module("smash_lightning.evaluation.calibration")
    monkeypatch.setattr(module, "GROUPS", {})  # which cost most
    rng, found, reached = np.random.default_rng(5), [], []
    for seed in range(60):
        own, new = pool(rng), pool(rng, 2_000)
        found.append(calibrate(own, [], own, resamples=200, seed=seed)[0])
        fitter, losses = Fitter.of(own, [], FEATURES), new["true_loss"].to_numpy()
        fitted = rho(scores(new, fitter.features, own) @ fitter.coefficients(), losses)
        reached.append((fitted, fitted - rho(new["val_loss"].to_numpy(), losses)))
    estimates = [(each.spearman, each.differences["val_loss"]) for each in found]
    for column, expected in zip(zip(*estimates, strict=True), np.mean(reached, axis=0), strict=True):
        assert np.mean([one is not None and one.low <= expected <= one.high for one in column]) >= 0.9
    assert np.mean([each.covered for each in found if each.covered is not None]) == pytest.approx(0.95, abs=0.02)


def test_eight_ground_truths_fall_back() -> None:
    rng = np.random.default_rng(6)
    own, library, scored = pool(rng, 8), pool(rng), pool(rng, 30)
    alone, nothing = calibrate(own, [pool(rng, 8)], scored)
    assert (alone.basis, alone.features, alone.spearman, alone.earlier) == ("loss", ("val_loss",), None, 0)
    assert nothing.isna().all(axis=None)
    helped, predictions = calibrate(own, [library], scored)
    assert (helped.basis, helped.architectures, helped.earlier) == ("library", 8, 60)
    assert rho(predictions["predicted_loss"].to_numpy(), scored["true_loss"].to_numpy()) > 0.4
    assert json.loads(helped.to_json())["basis"] == "library"


def test_what_is_evaluated() -> None:
    rng = np.random.default_rng(7)
    own = pool(rng)
    found, predictions = calibrate(own, [pool(rng)], own, resamples=200)
    assert found.basis == "own and library"
    assert list(found.features) == ["val_loss", "params", "macs", "ops", "baseline_synflow", "baseline_snip"]
    assert None not in (found.spearman, found.own, found.library, found.scored, found.size_matched_tau)
    assert found.best_single == "val_loss" == next(iter(found.differences))
    assert (found.compared_with_loss == "better") == (found.differences["val_loss"].low > 0)  # type: ignore[union-attr]
    assert list(found.groups) == ["size", "zero-cost baselines", "validation error"]
    assert [point.ground_truths for point in found.learning_curve] == [10, 20, 40, 60]
    errors = own["true_loss"] - predictions["predicted_loss"]
    assert float(errors.std()) == pytest.approx(found.predicted_sd, rel=0.02)
    alone, _ = calibrate(own, [], own, resamples=200)
    assert alone.own == alone.spearman


def test_the_best_found_is_that_of_a_replay_one_training_at_a_time() -> None:
    rng = np.random.default_rng(4)
    own, library = pool(rng), [pool(rng)]
    fitter = Fitter.of(own, library, FEATURES)
    score, losses = own["smash_score"].to_numpy(), own["true_loss"].to_numpy()
    found = best_found(fitter, score, losses, LEAST, 7)
    assert found is not None
    assert (found.candidates, found.trained, found.fitted, found.draws) == (40, 20, 10, DRAWS)
    places = random_folds(60, DRAWS, np.random.default_rng([7, 1]), 60)
    lowest = []
    for order in np.argsort(places, axis=1):
        candidates, fitted = order[:40], order[:10]
        some = np.isin(np.arange(60), fitted).astype(float)
        predicted = fitter.matrix @ fit(fitter.matrix, fitter.target, some[None], fitter.others)[0]
        others = sorted(set(candidates) - set(fitted), key=lambda i: predicted[i])
        ways = (order[:20], sorted(candidates, key=lambda i: score[i])[:20], [*fitted, *others[:10]])
        lowest.append([min(losses[i] for i in way) for way in ways])
    assert (found.at_random, found.by_score, found.by_prediction) == pytest.approx(np.mean(lowest, axis=0).tolist())
    assert found.prediction_minus_random.value == pytest.approx(found.by_prediction - found.at_random)
    assert found.by_prediction < found.at_random, "the prediction is a good one, and the score is noise"
    assert best_found(Fitter.of(own[:59], [], FEATURES), score[:59], losses[:59], LEAST, 7) is None


def test_no_earlier_ground_truth_of_a_scored_architecture_is_used() -> None:
    """Neither of one that this run has trained nor of one that it has scored alone, whatever pool it is in."""
    rng = np.random.default_rng(8)
    own, scored, other = pool(rng), pool(rng, 30), pool(rng)
    scored = pd.concat([own, scored], ignore_index=True)
    mixed = pd.concat([scored.tail(30), own.head(20), other], ignore_index=True)
    expected, predictions = calibrate(own, [other], scored, resamples=100)
    for losses in (mixed["true_loss"], np.where(mixed.index < 50, rng.normal(size=len(mixed)), mixed["true_loss"])):
        found, also = calibrate(own, [mixed.assign(true_loss=losses), own], scored, resamples=100)
        assert (found.earlier, found.left_out, found.pools) == (60, 110, 1)
        assert replace(found, left_out=0) == expected
        pd.testing.assert_frame_equal(also, predictions)
    few = calibrate(own.head(8), [own], scored)[0]
    assert (few.basis, few.left_out) == ("loss", 60)


def test_a_library_holds_pools_of_the_same_data_space_and_recipe(tmp_path: Path) -> None:
    for key in (1, 2):
        (tmp_path / "runs" / f"{key}").mkdir(parents=True)
        write_table(tmp_path / "runs" / f"{key}" / "ground_truths.csv", GROUND_TRUTHS, known_ground_truths(key))
    runs, empty = str(tmp_path / "runs"), str(tmp_path / "empty")
    both = read_library([runs, str(tmp_path / "runs" / "2" / "ground_truths.csv")], IDENTITY, False)
    assert [len(table) for table in both] == [40, 40]
    other = Identity("digits-0a", "space-3d", "11_epochs-2c")
    with pytest.raises(ValueError, match=r"another space, space-1b instead of space-3d: leave it out.*other_runs=true"):
        read_library([runs], other, False)
    assert len(read_library([runs], other, True)) == 2
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"there is no ground_truths\.csv at this path"):
        read_library([empty], IDENTITY, False)


def test_the_shipped_library_is_that_of_the_same_data_space_and_recipe_or_empty() -> None:
    rows = pd.concat([read_table(path, GROUND_TRUTHS) for path in LIBRARY.rglob("ground_truths.csv")])
    assert not rows.duplicated(["pool", "fingerprint"]).any()
    names = ["data", "space", "recipe"]
    for values, part in rows.groupby(names):
        found = read_library([SHIPPED], Identity(*values), False)
        assert sum(map(len, found)) == len(part)
        assert all(len(table) >= LEAST for table in found)
        for name in names:
            assert read_library([SHIPPED], replace(Identity(*values), **{name: "another"}), True) == []
    assert all((path.parent / "README.md").exists() for path in LIBRARY.rglob("ground_truths.csv"))
