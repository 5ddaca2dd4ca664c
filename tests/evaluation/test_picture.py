from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from tests.evaluation.study_tables import baselines, study

from smash_lightning.evaluation.bootstrap import Bootstrap
from smash_lightning.evaluation.correlation import correlate
from smash_lightning.evaluation.picture import baselines_picture, fitted_line, picture


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
        assert f"{correlation.loss.scores['key'].spearman.value:.2f}" in panel.get_yticklabels()[0].get_text()


def test_the_axis_says_what_ranks():
    scored, retrained = study()
    other = [replace(row, smash_score=row.smash_score + 0.01 * (place % 7)) for place, row in enumerate(scored)]
    names = [
        picture(table, retrained, correlate(table, retrained, bootstrap=100)).axes[0].get_xlabel()
        for table in (scored, other)
    ]
    assert names == ["validation loss with generated weights (nats)", "SMASH score (lower is better)"]


def test_picture_of_the_contest_is_best_first_with_costs_and_names_who_is_left_out():
    scored, retrained = study()
    lost = next(row.fingerprint for row in retrained if row.arm == "stratified")
    rows = [row for row in baselines(retrained) if (row.baseline, row.fingerprint) != ("synflow", lost)]
    correlation = correlate(scored, retrained, rows, training_seconds=90.0, bootstrap=200)
    left, right = (figure := baselines_picture(correlation)).axes
    names = [label.get_text() for label in left.get_yticklabels()]
    assert set(names) >= {"SMASH score", "SMASH + parameters", "parameters", "naswot", "early stopping"}
    assert "synflow" not in names
    values = [line.get_xdata()[0] for line in left.get_lines() if len(line.get_xdata()) == 1]
    assert values == sorted(values, reverse=True)
    assert len(values) == len(names)
    assert "0.36 s + 90 s" in [text.get_text() for text in right.texts]
    assert figure.get_supxlabel().endswith("Left out, as values are missing: synflow (1 of 40).")
    assert f"({correlation.contest.pairs})" in right.get_title(loc="left")


@pytest.mark.parametrize("representative", [0, 3])
def test_picture_of_a_contest_about_nothing_is_drawn(representative, tmp_path):
    scored, retrained = study(representative=representative)
    baselines_picture(correlate(scored, retrained, baselines(retrained), bootstrap=100)).savefig(
        tmp_path / "baselines.png"
    )
    assert (tmp_path / "baselines.png").stat().st_size > 10_000
