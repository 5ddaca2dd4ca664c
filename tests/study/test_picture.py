import numpy as np
import pytest
from scipy import stats
from study_tables import study

from smash_lightning.study.bootstrap import Bootstrap
from smash_lightning.study.correlation import correlate
from smash_lightning.study.picture import fitted_line, picture


def test_line_is_least_squares_and_its_band_that_of_a_loop():
    rng = np.random.default_rng(1)
    x = rng.normal(0.45, 0.07, 30)
    y = 0.1 + 0.1 * x + 0.01 * rng.normal(size=30)
    line = fitted_line(x, y, 300, seed=0)
    fit = stats.linregress(x, y)
    assert line.y == pytest.approx(fit.intercept + fit.slope * line.x)
    rows = [np.repeat(np.arange(30), drawn.astype(int)) for drawn in Bootstrap(30, 300, seed=0).weights]
    loop = [np.polyval(np.polyfit(x[drawn], y[drawn], 1), line.x) for drawn in rows]
    assert [line.low, line.high] == pytest.approx(np.quantile(loop, [0.025, 0.975], axis=0))


def test_no_line_through_few_or_equal_scores():
    assert fitted_line(np.arange(4.0), np.arange(4.0), 100, seed=0) is None
    assert fitted_line(np.ones(9), np.arange(9.0), 100, seed=0) is None


@pytest.mark.parametrize(
    ("case", "note"),
    [
        ({}, "n = 40"),
        ({"noise": 5}, "no verdict; reliability of the truth \u22120.01"),
        ({"representative": 3}, "too few"),
    ],
)
def test_picture_says_what_the_study_found(case, note):
    tables = study(**case)
    correlation = correlate(*tables, bootstrap=200)
    figure = picture(*tables, correlation)
    scatter, panel = figure.axes
    assert note in scatter.get_title(loc="left")
    assert ("no verdict" in scatter.get_title(loc="left")) != correlation.verdict.given
    assert len(panel.get_yticklabels()) == 4
    if not case:
        assert f"{correlation.loss.reliability.ceiling.value:.2f}" in panel.get_title(loc="right")
        assert f"{correlation.loss.scores['val_loss'].spearman.value:.2f}" in panel.get_yticklabels()[0].get_text()
