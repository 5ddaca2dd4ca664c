"""A run that is killed three times and continued, by one or two workers, ends in the files of an undisturbed run."""

import csv
from pathlib import Path

import pytest
import torch

from tests import timeless
from tests.command_line import copy_of_command, kill_when, smash

SMALL = [
    "logger=csv",
    "dataset.train=400",
    "search_space.max_ops=4",
    "search.epochs=8",
    "search.hypernets=3",
    "search.checkpoint_every=1",
    "ranking.fixed=3",
    "ranking.fixed_every=4",
    "ranking.strategies.random.count=40",
    "ranking.strategies.perturb.count=5",
    "ranking.strategies.markov.count=5",
    "retrain.epochs=3",
    "retrain.seeds=2",
    "retrain.stratified=5",
    "retrain.random=1",
    "retrain.shortlist=1",
    "evaluation.bootstrap=200",
    "baselines=cheap",
    "baselines.one_shot=[]",
]


def rows(path: Path) -> list[list[str]]:
    return list(csv.reader(path.read_text().splitlines()))[1:] if path.exists() else []


def first_logged_step(folder: Path, version: int, hypernet: int) -> int:
    with (folder / "logs" / f"version_{version}" / "metrics.csv").open() as file:
        steps = [int(row["step"]) for row in csv.DictReader(file) if row.get(f"hypernet{hypernet}/loss")]
    return min(steps)


@pytest.mark.slow
def test_killed_run_equals_an_uninterrupted_one(tmp_path: Path, no_report: None) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert smash(tmp_path, *SMALL, "workers=1", f"hydra.run.dir={whole}").well

    # The third HyperNet trains when one or both others are finished: then a resumed run has fewer jobs than workers.
    last = broken / "checkpoints" / "hypernet2.ckpt"
    kill_when(last.exists, copy_of_command(tmp_path, *SMALL, "workers=2", f"hydra.run.dir={broken}"))
    reached = torch.load(last, weights_only=True)
    assert not reached["smash"]["finished"]

    complete = broken / "ranking.csv"
    kill_when(lambda: len(rows(complete)) >= 8, copy_of_command(tmp_path, "workers=1", f"resume={broken}"))
    assert first_logged_step(broken, 1, 2) >= reached["global_step"], "steps before the checkpoint were done again"
    scored = rows(complete)
    assert len(scored) < 50

    retrained = broken / "retrained.csv"
    kill_when(lambda: len(rows(retrained)) >= 3, copy_of_command(tmp_path, "workers=1", f"resume={broken}"))
    trained = rows(retrained)
    assert {row[0] for row in scored} <= {row[0] for row in rows(complete)}

    assert smash(tmp_path, "workers=1", f"resume={broken}").well
    assert not [row for row in trained if row not in rows(retrained)], "what was finished was repeated"
    assert (broken / "architectures.jsonl").read_text() == (whole / "architectures.jsonl").read_text()
    for name in ("ranking.csv", "retrained.csv", "baselines.csv"):
        assert timeless.table(broken / name) == timeless.table(whole / name), name
    assert timeless.figures(broken / "correlation.json") == timeless.figures(whole / "correlation.json")
    for index in range(3):
        name = f"checkpoints/hypernet{index}.ckpt"
        one, other = (torch.load(folder / name, weights_only=True)["state_dict"] for folder in (whole, broken))
        assert all(torch.equal(one[key], other[key]) for key in one), name
