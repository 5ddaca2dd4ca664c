"""What came of a sweep, in tables, a picture and a page."""

from __future__ import annotations

import csv
import json
import math
import re
from pathlib import Path
from statistics import mean

import pytest
import yaml

from smash_lightning.analyses import sweep_report
from smash_lightning.report.tracker import Tracker
from tests.command_line import TINY, smash
from tests.evaluation.sweep_folders import begin, sweep_folder
from tests.stages.small_run import small_experiment

NOBODY = Tracker([])
FILES = {"sweep.csv", "sweep_means.csv", "sweep.png", "report.html"}


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def reported(tmp_path: Path, sweep: Path) -> Path:
    sweep_report(small_experiment(tmp_path / "report"), NOBODY, sweep=str(sweep))
    assert {path.name for path in (tmp_path / "report").iterdir()} == FILES
    return tmp_path / "report"


def spearman(folder: Path) -> float:
    return float(
        json.loads((folder / "correlation.json").read_text())["loss"]["scores"]["smash_score"]["spearman"]["value"]
    )


def test_rows_are_the_jobs_and_means_are_over_seeds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sweep = sweep_folder(tmp_path / "sweep", {"hypernet.width": [64, 8], "seed": [0, 1, 2]}, skills={8: 0.0, 64: 0.9})
    folder = reported(tmp_path, sweep)
    jobs, means = table(folder / "sweep.csv"), table(folder / "sweep_means.csv")
    assert [(row["job"], row["hypernet.width"], row["seed"]) for row in jobs] == [
        (str(3 * place + seed), width, str(seed)) for place, width in enumerate(("64", "8")) for seed in range(3)
    ]
    values = [spearman(sweep / row["job"]) for row in jobs]
    assert [float(row["spearman"]) for row in jobs] == values
    assert all(float(row["spearman_low"]) < float(row["spearman"]) < float(row["spearman_high"]) for row in jobs)
    assert all(row["spearman_synflow"] and row["spearman_params"] and row["ceiling"] for row in jobs)
    assert [(row["hypernet.width"], row["jobs"]) for row in means] == [("8", "3"), ("64", "3")]
    assert [float(row["spearman"]) for row in means] == pytest.approx([mean(values[3:]), mean(values[:3])])
    assert float(means[1]["minus_first"]) == pytest.approx(mean(values[:3]) - mean(values[3:]))
    assert (means[0]["minus_first"], means[0]["low"] == "") == ("", False)
    out, page = capsys.readouterr().out, (folder / "report.html").read_text()
    assert "hypernet.width=8 " in out
    assert page.count("<img") == 1
    assert re.search(r"highest mean .* has hypernet.width=64: .* over 3 jobs; the lowest has hypernet.width=8", page)
    assert "experiment=quick" in page, "what all jobs were given"


def test_unfinished_jobs_are_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sweep = sweep_folder(tmp_path / "sweep", {"hypernet.width": [8, 64]})
    begin(sweep / "2", {"hypernet.width": 128})
    (sweep / "10").mkdir()
    folder = reported(tmp_path, sweep)
    rows = table(folder / "sweep.csv")
    assert [(row["job"], row["hypernet.width"], row["left_out"]) for row in rows] == [
        ("0", "8", ""),
        ("1", "64", ""),
        ("2", "128", "it has no correlation.json yet"),
        ("10", "", "it did not begin"),
    ]
    assert {rows[2][name] for name in rows[2] if name.startswith(("spearman", "ceiling", "arch"))} == {""}
    page = (folder / "report.html").read_text()
    assert "2 jobs found nothing yet" in page
    assert "it did not begin" in page
    assert "Left out: job 2 (it has no correlation.json yet), job 10 (it did not begin)." in capsys.readouterr().out
    assert [row["hypernet.width"] for row in table(folder / "sweep_means.csv")] == ["8", "64"]


@pytest.mark.parametrize(
    ("options", "settings"),
    [
        ({"seed": [0, 1]}, 1),
        ({}, 1),
        ({"dataset": ["digits", "folder"]}, 2),
        ({"hypernet.width": [8, 64], "hypernet": ["shared", "conditional"]}, 4),
        ({"a": [1, 2], "b": ["x", "y"], "c": [0.1, 0.2]}, 8),
        ({"a": list(range(9)), "b": [0, 1]}, 18),
    ],
)
def test_any_sweep_is_drawn(tmp_path: Path, options: dict[str, list[object]], settings: int) -> None:
    folder = reported(tmp_path, sweep_folder(tmp_path / "sweep", options))
    means = table(folder / "sweep_means.csv")
    assert len(means) == settings
    assert sum(int(row["jobs"]) for row in means) == math.prod(map(len, options.values()))


@pytest.mark.parametrize(
    ("seeds", "said"), [(1, r"0\.\d\d \[-?\d.*\] +one job"), (2, r"\(SD 0\.\d\d\) +2 jobs"), (3, r"\] +3 jobs")]
)
def test_no_mean_stands_without_its_uncertainty(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], seeds: int, said: str
) -> None:
    reported(tmp_path, sweep_folder(tmp_path / "sweep", {"hypernet.width": [8, 64], "seed": list(range(seeds))}))
    lines = capsys.readouterr().out.splitlines()[1:]
    assert len(lines) == 2
    for line in lines:
        assert re.search(said, line), line


def test_what_is_no_sweep_or_found_nothing_is_refused(tmp_path: Path) -> None:
    experiment = small_experiment(tmp_path / "report")
    with pytest.raises(ValueError, match=r"nowhere is no sweep"):
        sweep_report(experiment, NOBODY, sweep=str(tmp_path / "nowhere"))
    begin(tmp_path / "sweep" / "0", {"retrain.rank": 0})
    with pytest.raises(ValueError, match=r"no job of .*sweep has a coefficient .* task=correlate checkpoint=.*sweep$"):
        sweep_report(experiment, NOBODY, sweep=str(tmp_path / "sweep"))
    assert not list((tmp_path / "report").iterdir())


@pytest.mark.slow
def test_a_real_sweep_by_the_command_line(tmp_path: Path) -> None:
    smaller = ["search.hypernets=1", "search.epochs=1", "ranking.fixed=0", "baselines=cheap", "retrain.epochs=1"]
    options = [option for option in TINY if option.split("=")[0] not in {o.split("=")[0] for o in smaller}]
    swept = ["-m", *options, *smaller, "hypernet.width=4,8", "seed=0,1", "hydra.sweep.dir=sweep"]
    assert smash(tmp_path, *swept).well
    ended = smash(tmp_path, "task=sweep_report", "task.sweep=sweep", "hydra.run.dir=report", "logger=none")
    assert ended.well
    rows = table(tmp_path / "report" / "sweep.csv")
    assert [(row["hypernet.width"], row["seed"]) for row in rows] == [(w, s) for w in "48" for s in "01"]
    for row in rows:
        assert float(row["spearman"]) == spearman(tmp_path / "sweep" / row["job"])
        config = yaml.safe_load((tmp_path / "sweep" / row["job"] / "config.yaml").read_text())
        assert (str(config["hypernet"]["width"]), str(config["seed"])) == (row["hypernet.width"], row["seed"])
    assert [row["jobs"] for row in table(tmp_path / "report" / "sweep_means.csv")] == ["2", "2"]
    assert "task.sweep has no value" in smash(tmp_path, "task=sweep_report", "logger=none").error
