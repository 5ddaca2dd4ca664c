import math
from dataclasses import replace

import numpy as np
import pytest

from smash_lightning.evaluation.correlation import correlate
from smash_lightning.evaluation.metric import value
from tests.evaluation.study_tables import study


def test_the_correlation_is_that_of_the_report():
    scored, retrained = study()
    compared = correlate(scored, retrained, bootstrap=100)
    assert value("correlation", compared, scored, retrained) == compared.loss.scores["smash_score"].spearman.value


@pytest.mark.parametrize(("metric", "truth"), [("best_true_loss", "true_loss"), ("best_true_error", "true_error")])
def test_the_best_is_the_first_by_score_and_not_by_truth(metric, truth):
    scored, retrained = study(skill=0.2)
    scored = sorted(scored, key=lambda row: row.smash_score)
    compared = correlate(scored, retrained, bootstrap=100)
    means = {
        row.fingerprint: np.mean([getattr(r, truth) for r in retrained if r.fingerprint == row.fingerprint])
        for row in scored
        if any(r.fingerprint == row.fingerprint for r in retrained)
    }
    first = next(iter(means))
    assert value(metric, compared, scored, retrained) == pytest.approx(means[first])
    assert means[first] > min(means.values()), "the example cannot tell the two apart"
    # Trainings that failed do not count, nor does an architecture of which all failed.
    failed = {"true_loss": math.nan, "true_error": math.nan, "failure": "out of memory"}
    one = [replace(row, **failed) if (row.fingerprint, row.seed) == (first, 0) else row for row in retrained]
    rest = [getattr(row, truth) for row in retrained if row.fingerprint == first and row.seed != 0]
    assert value(metric, compared, scored, one) == pytest.approx(np.mean(rest))
    whole = [replace(row, **failed) if row.fingerprint == first else row for row in retrained]
    assert value(metric, compared, scored, whole) == pytest.approx(list(means.values())[1])
    assert value(metric, compared, scored, []) is None


def test_a_correlation_that_is_undefined_is_none():
    scored, retrained = study(representative=3, shortlist=2)
    assert value("correlation", correlate(scored, retrained, bootstrap=100), scored, retrained) is None
