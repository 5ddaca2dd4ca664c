import numpy as np
import pytest

from smash_lightning.evaluation.correlation import correlate, value
from tests.evaluation.study_tables import FAILED, changed, study


def test_the_correlation_is_that_of_the_report():
    tables = study()
    compared = correlate(*tables, bootstrap=100)
    assert value("correlation", compared, *tables) == compared.loss.scores["smash_score"].spearman.value
    few = study(representative=3, shortlist=2)
    assert value("correlation", correlate(*few, bootstrap=100), *few) is None


@pytest.mark.parametrize("column", ["true_loss", "true_error"])
def test_the_best_is_the_first_by_score_and_not_by_ground_truth(column):
    ranking, retrained = study(skill=0.2)
    ranking = ranking.sort_values("smash_score")
    compared, metric = correlate(ranking, retrained, bootstrap=100), f"best_{column}"
    means = retrained.groupby("fingerprint")[column].mean()
    first, second = (name for name in ranking["fingerprint"].iloc[:2])
    assert value(metric, compared, ranking, retrained) == pytest.approx(means[first])
    assert means[first] > means.min(), "otherwise the example cannot distinguish the two"
    # Trainings that failed do not count, nor does an architecture of which all failed.
    rows = retrained["fingerprint"] == first
    rest = retrained[column][rows & (retrained["seed"] != 0)]
    one = changed(retrained, rows & (retrained["seed"] == 0), **FAILED)
    assert value(metric, compared, ranking, one) == pytest.approx(np.mean(rest))
    whole = changed(retrained, first, **FAILED)
    assert value(metric, compared, ranking, whole) == pytest.approx(means[second])
    assert value(metric, compared, ranking, retrained[:0]) is None
