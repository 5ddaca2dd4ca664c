"""Pages of studies that cannot say much."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from smash_lightning.evaluation.correlation import correlate
from smash_lightning.evaluation.tables import Retrained
from smash_lightning.report.tracker import Tracker
from smash_lightning.stages.rank import ranked
from smash_lightning.stages.show import show
from tests.stages.small_run import rank_at_random, small_experiment

NAN = float("nan")


def trainings(names: list[str], seeds: int, failed: int) -> list[Retrained]:
    """Made-up ones; those of the first `failed` architectures failed."""
    return [
        Retrained(name, seed, "stratified", 3.0 + place, 0.1 * place + 0.01 * seed, 1, 1.0, "")
        if place >= failed
        else Retrained(name, seed, "stratified", NAN, NAN, 0, 0.0, "DivergedError: the loss became nan")
        for place, name in enumerate(names)
        for seed in range(seeds)
    ]


@pytest.mark.parametrize(
    ("count", "seeds", "failed", "reason"),
    [
        (3, 3, 0, "fewer than 5 show nothing"),
        (6, 1, 0, "the reliability of the truth is unknown"),
        (6, 2, 3, "fewer than 5 show nothing"),
        (6, 2, 6, "fewer than 5 show nothing"),
    ],
)
def test_a_page_without_a_verdict_says_why(tmp_path: Path, count: int, seeds: int, failed: int, reason: str) -> None:
    experiment = small_experiment(tmp_path)
    names = [architecture.fingerprint for architecture in rank_at_random(experiment.folder, count)]
    scored, retrained = ranked(experiment.folder), trainings(names, seeds, failed)
    correlation = correlate(scored, retrained, bootstrap=100)
    show(experiment, Tracker([]), scored, retrained, correlation)
    page = (tmp_path / "report.html").read_text()
    assert "No verdict" in page
    assert reason in page
    assert all(name in page for name in names)
    assert page.count("DivergedError") == failed * seeds
    assert (tmp_path / "correlation.png").stat().st_size > 1000
    assert (tmp_path / "baselines.png").stat().st_size > 1000
    assert names[0] in (tmp_path / "architecture.svg").read_text()
    assert not (tmp_path / "settling.png").exists(), "no HyperNet was trained here"
    assert "How the scores settled" not in page


def test_an_untrained_score_is_shown_as_missing(tmp_path: Path) -> None:
    experiment = small_experiment(tmp_path)
    names = [architecture.fingerprint for architecture in rank_at_random(experiment.folder, 6)]
    scored = ranked(experiment.folder)
    scored[-1] = replace(scored[-1], smash_score=NAN, val_loss=NAN, val_error=NAN)
    retrained = trainings(names, 3, 0)
    correlation = correlate(scored, retrained, bootstrap=100)
    assert correlation.counts.without_score == 1
    show(experiment, Tracker([]), scored, retrained, correlation)
    cells = re.findall(r"<td[^>]*>([^<]*)", (tmp_path / "report.html").read_text())
    assert len(cells) > 50
    assert "nan" not in {cell.lower() for cell in cells}
