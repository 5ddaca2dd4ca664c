import warnings

import numpy as np
import pytest
from matplotlib import pyplot
from scipy import stats

from smash_lightning.report.plots import BLUE, GREY, Line, correlation_figure, settling_figure


def points(n=30, key=0):
    rng = np.random.default_rng(key)
    score = rng.normal(0.45, 0.07, n)
    top = score <= np.sort(score)[5]
    return {
        "score": score,
        "truth": 0.1 + 0.1 * score + 0.005 * rng.normal(size=n),
        "truth_error": np.full(n, 0.003),
        "representative": ~top | (score == score.min()),
        "top": top,
        "seeds": 3,
        "rho": {"SMASH": (0.57, 0.35, 0.74), "parameters": (-0.28, -0.5, -0.02), "ops": None},
        "ceiling": (0.8, 0.7, 0.87),
    }


def draw(figure, folder):
    """Rendering is where matplotlib complains; warnings are errors."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure.savefig(folder / "figure.png")
    assert (folder / "figure.png").stat().st_size > 10_000


def test_scatter_holds_both_samples_with_error_bars(tmp_path):
    data = points()
    figure = correlation_figure(**data)
    draw(figure, tmp_path)
    scatter = figure.axes[0]
    by_label = {line.get_label(): line for line in scatter.get_lines()}
    for label, chosen in (("stands for the pool (25)", "representative"), ("shortlist by score (6)", "top")):
        assert by_label[label].get_xdata().tolist() == data["score"][data[chosen]].tolist()
        assert by_label[label].get_ydata().tolist() == data["truth"][data[chosen]].tolist()
    bars = [segment for bar in scatter.collections for segment in bar.get_segments()]
    assert len(bars) == 30  # one each, also for the one that is in both samples
    assert all(np.ptp(bar[:, 1]) == pytest.approx(0.006) for bar in bars)
    assert "(nats)" in scatter.get_xlabel()
    assert "mean of 3 seeds" in scatter.get_ylabel()


def test_title_gives_rho_interval_and_n():
    scatter = correlation_figure(**points(), note="no verdict").axes[0]
    assert scatter.get_title(loc="left") == "Spearman $\\rho$ = 0.57 [0.35, 0.74], n = 25\nno verdict"


def test_panel_names_every_predictor_with_its_interval_and_the_ceiling():
    panel = correlation_figure(**points()).axes[1]
    assert [label.get_text() for label in panel.get_yticklabels()] == [
        "SMASH\n0.57 [0.35, 0.74]",
        "parameters\n\u22120.28 [\u22120.50, \u22120.02]",
        "ops\nundefined",
    ]
    assert panel.get_title(loc="right") == "noise ceiling 0.80 [0.70, 0.87]"
    bars = [line for line in panel.get_lines() if len(line.get_xdata()) == 2 and np.ptp(line.get_ydata()) == 0]
    assert [(tuple(bar.get_xdata()), bar.get_color()) for bar in bars] == [
        ((0.35, 0.74), BLUE),
        ((-0.5, -0.02), GREY),
    ]
    low, high = panel.get_xlim()
    assert low <= -0.5
    assert high == 1


def test_line_is_drawn_with_its_band():
    x = np.linspace(0.3, 0.6, 5)
    bare, fitted = (correlation_figure(**points(), line=line).axes[0] for line in (None, Line(x, x / 3, x / 4, x / 2)))
    drawn = [line.get_ydata().tolist() for line in fitted.get_lines()]
    assert (x / 3).tolist() in drawn
    assert len(fitted.collections) == len(bare.collections) + 1


def test_draws_what_little_there_is(tmp_path):
    empty = {name: value[:0] if isinstance(value, np.ndarray) else value for name, value in points().items()}
    unknown = {"rho": {"SMASH": None, "MACs": None}, "ceiling": None, "seeds": 1}
    figure = correlation_figure(**(empty | unknown))
    draw(figure, tmp_path)
    assert figure.axes[0].get_title(loc="left") == "0 architectures"
    assert figure.axes[1].get_title(loc="right") == "noise ceiling unknown"
    one_seed = points() | {"truth_error": np.full(30, np.nan), "seeds": 1}
    draw(correlation_figure(**one_seed), tmp_path)


def test_figures_leave_no_global_state():
    correlation_figure(**points())
    settling_figure([1, 2], np.random.default_rng(0).random((2, 6)))
    assert pyplot.get_fignums() == []


def losses(epochs=8, architectures=24, key=0):
    rng = np.random.default_rng(key)
    quality = rng.normal(size=architectures)
    noise = np.linspace(1.5, 0.2, epochs)[:, None] * rng.normal(size=(epochs, architectures))
    return np.linspace(2, 0.5, epochs)[:, None] + 0.05 * (quality + noise)


def test_settling_shows_every_loss_and_spearman_with_the_last_epoch(tmp_path):
    table, epochs = losses(), [5 * i for i in range(1, 9)]
    figure = settling_figure(epochs, table)
    draw(figure, tmp_path)
    left, right = figure.axes
    drawn = {tuple(line.get_ydata()) for line in left.get_lines()}
    assert drawn == {tuple(column) for column in table.T}
    curve = right.get_lines()[0]
    assert curve.get_xdata().tolist() == epochs[:-1]
    assert curve.get_ydata() == pytest.approx([stats.spearmanr(row, table[-1]).statistic for row in table[:-1]])


def test_settling_band_is_bonett_and_wrights():
    table = losses(2)
    rho = stats.spearmanr(*table).statistic
    reach = 1.959964 * np.sqrt((1 + rho**2 / 2) / (24 - 3))
    band = settling_figure([1, 2], table).axes[1].collections[0].get_paths()[0].vertices[:, 1]
    assert [band.min(), band.max()] == pytest.approx(np.tanh([np.arctanh(rho) - reach, np.arctanh(rho) + reach]))


def test_the_best_at_the_end_is_darkest():
    table = losses()
    lines = settling_figure(range(8), table).axes[0].get_lines()
    brightness = [sum(line.get_color()[:3]) for line in sorted(lines, key=lambda line: line.get_ydata()[-1])]
    assert brightness == sorted(brightness)


def test_settling_intervals_cover_the_truth():
    """The band holds Spearman's rho of a bivariate normal (r = 0.6) in about 95 % of 20 figures of 20 epochs."""
    rng = np.random.default_rng(1)
    truth, covered = 6 / np.pi * np.arcsin(0.3), 0
    for _ in range(20):
        last = rng.normal(size=40)
        table = np.vstack([0.6 * last + 0.8 * rng.normal(size=(20, 40)), last])
        band = settling_figure(range(21), np.exp(table)).axes[1].collections[0].get_paths()[0].vertices
        for epoch in range(20):
            ends = band[band[:, 0] == epoch, 1]
            covered += ends.min() <= truth <= ends.max()
    assert 0.90 <= covered / 400 <= 0.99


@pytest.mark.parametrize("epochs", [1, 2, 30])
def test_settling_draws_any_number_of_epochs(tmp_path, epochs):
    table = losses(epochs)
    figure = settling_figure(range(epochs), table)
    draw(figure, tmp_path)
    assert epochs - 1 in figure.axes[0].get_xticks()
    assert len(figure.axes[0].get_xticks()) <= 12


def test_a_diverged_loss_ranks_last(tmp_path):
    table = losses()
    worst, diverged = table.copy(), table.copy()
    worst[:, 3], diverged[:4, 3], diverged[4:, 3] = 99, np.nan, np.inf
    draw(settling_figure(range(8), diverged), tmp_path)
    curves = [settling_figure(range(8), t).axes[1].get_lines()[0].get_ydata() for t in (worst, diverged)]
    assert curves[0] == pytest.approx(curves[1])


def test_too_few_architectures_or_equal_losses_draw_no_curve(tmp_path):
    for table in (losses(architectures=4), np.ones((8, 10))):
        figure = settling_figure(range(8), table)
        draw(figure, tmp_path)
        assert figure.axes[1].get_lines()[0].get_xdata()[0] == 7  # only the last epoch's own mark
        assert not figure.axes[1].collections


@pytest.mark.parametrize("table", [np.ones((3, 4)), np.ones(2), np.ones((0, 4))])
def test_settling_refuses_a_table_that_does_not_fit(table):
    epochs = range(2) if len(table) else range(0)
    with pytest.raises(ValueError, match="give a row per epoch"):
        settling_figure(epochs, table)
