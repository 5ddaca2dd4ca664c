import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from smash_lightning.evaluation.sample import SCORES, Counts, join
from smash_lightning.evaluation.tables import RANKING, RETRAINED
from tests.evaluation.study_tables import FAILED, baselines, changed, study

GROUPS = ("shortlist", "stratified", "random", "greedy")
Tables = tuple[pd.DataFrame, pd.DataFrame]


def small() -> Tables:
    return study(representative=8, shortlist=2)


def disordered(key: int) -> Tables:
    """Tables with failures, infinite losses, missing scores, repeated trainings and a given architecture."""
    ranking, retrained = study(representative=12, shortlist=3, key=key)
    rng = np.random.default_rng(key)
    retrained = pd.concat([retrained.assign(true_loss=9.0)[:12], retrained]).sample(frac=1, random_state=key)
    retrained = retrained.assign(**{name: rng.integers(2, size=len(retrained)) for name in GROUPS})
    given = changed(retrained[:3], slice(None), fingerprint="given", preset=1)
    for values in (FAILED, {"true_loss": math.inf}, {"true_error": math.nan}, {"failure": "out of memory"}):
        retrained = changed(retrained, rng.random(len(retrained)) < 0.15, **values)
    for column, value in zip(SCORES, (math.nan, math.inf, math.nan), strict=True):
        ranking = changed(ranking, rng.random(len(ranking)) < 0.1, **{column: value})
    return ranking, pd.concat([given, retrained], ignore_index=True)


def loop(ranking: pd.DataFrame, retrained: pd.DataFrame) -> tuple[pd.DataFrame, Counts]:
    """What `join` returns, row by row."""
    scored = {row["fingerprint"]: row for row in ranking.to_dict("records")}
    trainings: dict[str, dict[int, Any]] = {}
    groups: dict[str, set[str]] = {}
    for row in retrained.to_dict("records"):
        if row["fingerprint"] in scored:
            trainings.setdefault(row["fingerprint"], {})[row["seed"]] = row
            groups.setdefault(row["fingerprint"], set()).update(name for name in GROUPS if row[name])
    rows, failed, nothing, unscored, incomplete = [], 0, 0, 0, 0
    for name, by_seed in trainings.items():
        done = {
            seed: row
            for seed, row in by_seed.items()
            if not row["failure"] and math.isfinite(row["true_loss"]) and math.isfinite(row["true_error"])
        }
        failed, nothing = failed + len(by_seed) - len(done), nothing + (not done)
        if not done or not all(math.isfinite(scored[name][column]) for column in SCORES):
            unscored += bool(done)
            continue
        incomplete += len(done) < 3
        row = {column: scored[name][column] for column in ranking if column not in ("strategy", "parent")}
        for column in ("true_loss", "true_error"):
            row[column] = np.mean([done[seed][column] for seed in sorted(done)])
            row |= {f"{column}_{seed}": done[seed][column] if seed in done else math.nan for seed in range(3)}
        own = groups[name]
        represents = bool(own & {"stratified", "random"}) and "greedy" not in own
        rows.append(row | {"representative": represents, "shortlist": "shortlist" in own, "greedy": "greedy" in own})
    counts = Counts(len(trainings), sum(map(len, trainings.values())), failed, nothing, unscored, incomplete)
    return pd.DataFrame(rows), counts


@pytest.mark.parametrize("key", range(5))
def test_a_sample_is_that_of_a_loop_over_the_rows(key: int) -> None:
    ranking, retrained = disordered(key)
    sample, (expected, counts) = join(ranking, retrained), loop(ranking, retrained)
    pd.testing.assert_frame_equal(sample.table, expected[list(sample.table)], check_dtype=False)
    assert sample.counts == counts
    assert set(sample.table["fingerprint"][sample.table["representative"]]) == set(sample.representative["fingerprint"])
    found = (counts.failed_trainings, counts.without_ground_truth, counts.without_score, counts.incomplete)
    assert min(found) > 0 or key, "the first tables have every kind of gap"


def test_baselines_are_joined() -> None:
    ranking, retrained = small()
    table = baselines(retrained, ("naswot", "weight_sharing"))
    repeated = pd.concat([table[:1].assign(prediction=9.0), table[::-1], table[1:2].assign(prediction=7.0)])
    repeated = repeated[(repeated["fingerprint"] != table["fingerprint"][3]) | (repeated["baseline"] != "naswot")]
    untrained = next(name for name in ranking["fingerprint"] if name not in set(retrained["fingerprint"]))
    sample = join(ranking, retrained, pd.concat([repeated, table[:1].assign(fingerprint=untrained)]))
    rows = sample.table.set_index("fingerprint")
    assert set(rows.filter(like="baseline_")) == {"baseline_naswot", "baseline_weight_sharing"}
    expected = [table["prediction"][0], 7.0, table["prediction"][2], math.nan]
    found = rows.loc[table["fingerprint"][:4], "baseline_naswot"]
    assert found.tolist() == pytest.approx(expected, nan_ok=True), "of two values the later row counts"
    assert rows["seconds_naswot"].isna().sum() == 1
    assert sample.training_seconds == {"naswot": 0.0, "weight_sharing": 40.0}


def test_tables_that_do_not_belong_together_are_refused() -> None:
    ranking, retrained = small()
    name, values = retrained["fingerprint"][0], baselines(retrained, ("naswot",))
    with pytest.raises(ValueError, match=f"{name} was retrained but is not in the ranking"):
        join(ranking[ranking["fingerprint"] != name], retrained)
    with pytest.raises(ValueError, match="architecture elsewhere has a value of the baseline naswot but is not in"):
        join(ranking, retrained, values.assign(fingerprint="elsewhere"))
    for predictor in ("smash_score", "params", "val_error", "smash_score+params"):
        with pytest.raises(ValueError, match=rf"the name {predictor.replace('+', '.')} of another predictor"):
            join(ranking, retrained, values.assign(baseline=predictor))
    with pytest.raises(ValueError, match="by 2 HyperNets and some by 3"):
        join(changed(ranking, name, val_loss_2=math.nan), retrained)


def test_empty_tables_give_an_empty_sample() -> None:
    sample = join(pd.DataFrame(columns=[*RANKING.columns]), pd.DataFrame(columns=[*RETRAINED.columns]))
    assert sample.table["true_loss"].shape == (0,)
