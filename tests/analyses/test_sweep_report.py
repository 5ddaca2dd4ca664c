"""The jobs of a sweep in tables, a picture and a page."""

import json
import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from smash_lightning.analyses import sweep_report
from smash_lightning.analyses.sweep_report import SPEARMAN, average, draw, ordered
from smash_lightning.report.style import specification
from tests.analyses.small_analysis import NO_LOGGERS
from tests.evaluation.study_tables import begin, sweep_folder
from tests.stages.small_run import small_experiment


def jobs(*rows: dict[str, Any]) -> pd.DataFrame:
    """Made-up jobs; `value` is the Spearman."""
    found = []
    for number, row in enumerate(rows):
        value = row["value"]
        interval = dict(zip(SPEARMAN, (value, value - 0.1, value + 0.1), strict=True))
        found.append({"job": str(number), **row, **interval, "ceiling": 0.9, "spearman_params": 0.3})
    return pd.DataFrame(found)


def reported(folder: Path, sweep: Path) -> tuple[pd.DataFrame, pd.DataFrame, str]:
    """The tables and the page."""
    sweep_report(small_experiment(folder), NO_LOGGERS, sweep=str(sweep))
    assert {path.name for path in folder.iterdir()} == {"sweep.csv", "sweep_means.csv", "sweep.png", "report.html"}
    tables = (pd.read_csv(folder / f"{name}.csv") for name in ("sweep", "sweep_means"))
    return (*tables, (folder / "report.html").read_text(encoding="utf-8"))  # type: ignore[return-value]


def spearman(folder: Path) -> float:
    plain = json.loads((folder / "correlation.json").read_text())
    return float(plain["loss"]["scores"]["smash_score"]["spearman"]["value"])


def test_settings_rise_with_numbers_and_keep_the_order_of_texts() -> None:
    rows = [{"kind": k, "width": w, "value": 0.1} for k in ("shared", "plain") for w in (128, 32, 64)]
    found = average(jobs(*rows), ["kind", "width"])
    assert list(zip(found["kind"], found["width"], strict=True)) == [
        (kind, width) for kind in ("shared", "plain") for width in (32, 64, 128)
    ]
    assert len(average(jobs({"value": 0.1}, {"value": 0.3}), [])) == 1
    assert ordered([2, "x", 1]) == [2, "x", 1]


def test_a_difference_is_that_of_jobs_of_one_seed() -> None:
    base = [{"width": 1, "seed": seed, "value": value} for seed, value in enumerate((0.1, 0.5, 0.3))]
    other = [{"width": 2, "seed": seed, "value": value} for seed, value in ((2, 0.4), (0, 0.3), (7, 0.9))]
    alone = [{"width": 3, "seed": 9, "value": 0.5}]
    first, second, third = average(jobs(*base, *other, *alone), ["width"]).to_dict("records")
    assert math.isnan(first["minus_first"])
    assert math.isnan(third["minus_first"]), "no seed in common"
    assert second["minus_first"] == pytest.approx(((0.4 - 0.3) + (0.3 - 0.1)) / 2)
    assert second["spearman"] == pytest.approx((0.4 + 0.3 + 0.9) / 3)
    assert (third["spearman_low"], third["spearman_high"]) == pytest.approx((0.4, 0.6)), "its own interval"
    two = average(jobs({"value": 0.1}, {"value": 0.3}), []).iloc[0]
    assert math.isnan(two["spearman_low"]), "two jobs have no interval"
    assert two["std"] == pytest.approx(0.2 / math.sqrt(2))


def test_tables_page_and_summary_have_finished_jobs_and_reasons_of_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = sweep_folder(tmp_path / "sweep", {"hypernet.width": [64, 8], "seed": [0, 1, 2]}, skills={8: 0.0, 64: 0.9})
    for job in range(6):
        (sweep / str(job) / "calibration.json").write_text(json.dumps({"spearman": {"value": 0.1 * job}}))
    for number in (6, 7, 8):
        begin(sweep / str(number), {"hypernet.width": 128})
    (sweep / "10").mkdir()
    text = (sweep / "0" / "correlation.json").read_text()
    (sweep / "7" / "correlation.json").write_text(text[: len(text) // 2])
    undefined = json.loads(text)
    undefined["comparison"]["predictors"]["smash_score"]["spearman"], undefined["architectures"] = None, 4
    (sweep / "8" / "correlation.json").write_text(json.dumps(undefined))
    table, means, page = reported(tmp_path / "report", sweep)
    assert table["job"].tolist() == [*range(9), 10]
    assert table["hypernet.width"].tolist() == ["64"] * 3 + ["8"] * 3 + ["128"] * 3 + ["default"]
    loss = json.loads(text)["loss"]
    assert table.loc[0, "ceiling_high"] == loss["reliability"]["ceiling"]["high"]
    assert table.loc[0, "spearman_macs"] == loss["sizes"]["macs"]["coefficients"]["spearman"]["value"]
    assert "spearman_synflow" in table
    values = [spearman(sweep / str(job)) for job in range(6)]
    assert table["spearman"][:6].tolist() == values
    assert table.loc[6:, "left_out"].tolist() == [
        "it has no correlation.json yet",
        "its correlation.json is incomplete or of another version",
        "the coefficient of 4 architectures is undefined; 5 are the least",
        "it has no correlation.json yet",
    ]
    assert means["hypernet.width"].tolist() == [8, 64]
    assert means["jobs"].tolist() == [3, 3]
    expected = [sum(values[3:]) / 3, sum(values[:3]) / 3]
    assert means["spearman"].tolist() == pytest.approx(expected)
    assert means["minus_first"][1] == pytest.approx(expected[1] - expected[0])
    assert means["spearman_calibrated"].tolist() == pytest.approx([0.4, 0.1])
    printed = capsys.readouterr().out
    assert "spearman_calibrated" in printed
    assert "job 6 (it has no correlation.json yet), job 7 (its" in printed
    assert "The best of 2 settings is biased" in page
    assert "experiment=quick" in page, "an option of all jobs"


def test_one_or_two_options_are_drawn_as_lines_over_numbers_and_others_as_a_row_for_each_setting() -> None:
    rows = [{"kind": k, "width": w, "c": c, "value": 0.1 * w + 0.01 * c} for k in "ab" for w in (2, 1) for c in (3, 4)]

    def drawn(*options: str) -> pd.DataFrame:
        plain = specification(draw(average(jobs(*rows), list(options)), list(options)))
        return pd.DataFrame(max(plain["datasets"].values(), key=len))

    one, two, three = drawn("width"), drawn("kind", "width"), drawn("kind", "width", "c")
    score = one[one["series"] == "SMASH score"]
    assert dict(zip(score["x"], score["y"], strict=True)) == pytest.approx({1: 0.135, 2: 0.235})
    assert set(one["series"]) == {"SMASH score", "noise ceiling", "parameters"}
    assert set(two["series"]) == {"kind=a", "kind=b", "noise ceiling", "parameters"}
    assert set(two["x"]) == {1, 2}, "numbers get the axis"
    names = three.loc[three["kind"] == "estimate", "name"].tolist()
    assert (len(names), names[0]) == (8, "kind=a, width=1, c=3")


def test_a_sweep_that_found_nothing_is_refused(tmp_path: Path) -> None:
    experiment = small_experiment(tmp_path / "report")
    begin(tmp_path / "sweep" / "0", {"retrain.rank": 0})
    with pytest.raises(ValueError, match=r"no job of .*sweep has a coefficient .* task=correlate checkpoint=.*sweep$"):
        sweep_report(experiment, NO_LOGGERS, sweep=str(tmp_path / "sweep"))
    assert not list((tmp_path / "report").iterdir())
