"""The last stage on tables with baselines."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from smash_lightning.evaluation.tables import Predicted, Retrained, Scored, write_records
from smash_lightning.report.tracker import Tracker, Value
from smash_lightning.stages.correlate import correlate
from smash_lightning.stages.experiment import Experiment
from smash_lightning.stages.rank import ranked
from tests.stages.small_run import rank_at_random, small_experiment

COUNT, SEEDS = 12, 3
BASELINES = ("early_stopping", "synflow")


class Listener(Tracker):
    """Remembers what it was given."""

    def __init__(self) -> None:
        super().__init__([])
        self.tables: dict[str, list[dict[str, Value]]] = {}
        self.images: dict[str, Path] = {}
        self.figures: dict[str, Value] = {}
        self.files: list[str] = []

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Value]]) -> None:
        self.tables[name] = [dict(zip(columns, row, strict=True)) for row in rows]

    def image(self, name: str, path: Path) -> None:
        self.images[name] = path

    def summary(self, values: dict[str, Value]) -> None:  # type: ignore[override]
        self.figures |= values

    def artifact(self, name: str, kind: str, paths: Sequence[Path], inputs: Sequence[tuple[str, Path]] = ()) -> None:
        self.files += [path.name for path in paths]


def finished(folder: Path, missing: int = 0) -> Experiment:
    """A run before its last stage; the second baseline lacks `missing` values."""
    experiment = small_experiment(folder)
    names = [architecture.fingerprint for architecture in rank_at_random(experiment.folder, COUNT)]
    trainings = [
        Retrained(name, seed, "stratified", 3.0, 0.1 * ((5 * place) % COUNT) + 0.01 * ((place + seed) % 3), 1, 1.0, "")
        for place, name in enumerate(names)
        for seed in range(SEEDS)
    ]
    write_records(experiment.folder.retrained, trainings, Retrained)
    values = [
        Predicted(name, baseline, float((5 * place) % COUNT if baseline == "early_stopping" else place % 4), 0.5, 7.0)
        for baseline in BASELINES
        for place, name in enumerate(names)
    ]
    write_records(experiment.folder.baselines, values[: len(values) - missing], Predicted)
    return experiment


@pytest.fixture
def listener() -> Listener:
    return Listener()


def test_rivals_are_compared_shown_and_tracked(
    tmp_path: Path, listener: Listener, capsys: pytest.CaptureFixture[str]
) -> None:
    experiment = finished(tmp_path)
    experiment.folder.checkpoints.mkdir()
    torch.save({"smash": {"seconds": 90.0}, "callbacks": {}, "global_step": 20}, experiment.folder.hypernet(0))
    correlate(experiment, listener)
    contest = json.loads((tmp_path / "correlation.json").read_text())["contest"]
    assert set(BASELINES) < set(contest["predictors"])
    assert contest["predictors"]["smash_score"]["training_seconds"] == 90.0
    assert contest["predictors"]["synflow"]["training_seconds"] == 7.0
    page = (tmp_path / "report.html").read_text()
    assert "Does a baseline do better?" in page
    assert page.count("<img") == 3
    cells = re.findall(r"<td[^>]*>([^<]*)", page)
    assert {"early stopping", "synflow", "SMASH + parameters"} <= set(cells)
    assert re.search(r"^  early stopping .* 0\.5 s \+ 7 s$", capsys.readouterr().out, re.MULTILINE)
    assert listener.images["baselines_png"] == tmp_path / "baselines.png"
    assert "baselines.csv" in listener.files
    rows = {row["predictor"]: row for row in listener.tables["baselines"]}
    best = contest["predictors"]["early_stopping"]["spearman"]
    assert (rows["early_stopping"]["spearman"], rows["early_stopping"]["spearman_low"]) == (best["value"], best["low"])
    assert rows["smash_score"]["delta_spearman"] is None
    assert listener.figures["spearman_above_goal"] == contest["above_goal"]["value"]


def test_a_rival_without_every_value_is_named_in_table_and_page(
    tmp_path: Path, listener: Listener, capsys: pytest.CaptureFixture[str]
) -> None:
    correlate(finished(tmp_path, missing=3), listener)
    assert "Left out, as values are missing: synflow (3 of 12)." in capsys.readouterr().out
    assert "Left out, as values are missing: synflow (3 of 12)." in (tmp_path / "report.html").read_text()


def test_without_rivals_sizes_are_the_rivals(tmp_path: Path, listener: Listener) -> None:
    experiment = finished(tmp_path)
    experiment.folder.baselines.unlink()
    correlate(experiment, listener)
    assert {row["predictor"] for row in listener.tables["baselines"]} >= {
        "smash_score",
        "params",
        "macs",
        "ops",
        "smash_score+params",
    }
    assert "baselines.csv" not in listener.files


def test_what_ranks_is_what_is_judged(tmp_path: Path, listener: Listener) -> None:
    """The key of this ranking is the truth, its validation loss is not."""
    experiment = finished(tmp_path)
    table = [
        replace(row, smash_score=float((5 * place) % COUNT), seconds=0.5)
        for place, row in enumerate(ranked(experiment.folder))
    ]
    write_records(experiment.folder.ranking, table, Scored)
    rho = correlate(experiment, listener)
    assert rho is not None
    assert rho > 0.9
    page = (tmp_path / "report.html").read_text()
    assert "what ranks" in page
    assert "SMASH, validation loss" in page
