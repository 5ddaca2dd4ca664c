"""The jobs of a sweep over trainings are one run's trainings."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from smash_lightning.evaluation.tables import Retrained, Scored, read_records, write_records
from smash_lightning.report.tracker import Tracker
from smash_lightning.stages import Experiment, RunFolder, correlate, retrain
from smash_lightning.stages.collect import collect, find_hypernets
from smash_lightning.stages.rank import ranked
from smash_lightning.stages.retrain import choose
from tests import timeless
from tests.command_line import TINY, smash
from tests.stages.small_run import RETRAIN, rank_at_random, scored_architecture, small_experiment

NOBODY = Tracker([])
COUNT = 12
PLACES = (1, 4, 7, 10)  # what `stratified=4` takes of twelve


def configured(folder: Path, experiment: Experiment, **changes: Any) -> None:
    """The part of a run's `config.yaml` that collecting reads."""
    plain = {
        "seed": experiment.seed,
        "checkpoint": str(experiment.source),
        "retrain": {"_target_": "smash_lightning.training.RetrainOptions", **asdict(experiment.retrain)},
        "dataset": {"name": "digits", "validation": 60, "source": {"root": str(folder)}},
        "overrides": [f"retrain.rank={experiment.retrain.rank}"],
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(plain | changes))


def made_up(sweep: Path, places: Mapping[str, int], ranking: Path, seeds: int = 2) -> None:
    """Finished jobs by their names, with invented results."""
    pool = [row.fingerprint for row in ranked(RunFolder(ranking)) if row.strategy == "random"]
    for name, place in places.items():
        folder = sweep / name
        experiment = small_experiment(folder, source=ranking, retrain=replace(RETRAIN, rank=place, seeds=seeds))
        for table in ("ranking.csv", "architectures.jsonl"):
            shutil.copy(ranking / table, folder / table)
        rows = [
            Retrained(pool[place], seed, "stratified", 3.0, 0.1 * place + 0.01 * seed, 1, 1.0, "")
            for seed in range(seeds)
        ]
        write_records(folder / "retrained.csv", rows, Retrained)
        configured(folder, experiment)


@pytest.fixture
def ranking(tmp_path: Path) -> Path:
    rank_at_random(RunFolder(tmp_path / "ranked"), COUNT)
    return tmp_path / "ranked"


@pytest.fixture
def sweep(tmp_path: Path, ranking: Path) -> Path:
    made_up(tmp_path / "sweep", {str(job): place for job, place in enumerate(range(0, COUNT, 2))}, ranking)
    return tmp_path / "sweep"


def collecting(tmp_path: Path, sweep: Path, **changes: Any) -> Experiment:
    return small_experiment(tmp_path / "collected", source=sweep, **changes)


def rows_of(folder: Path) -> list[Retrained]:
    return read_records(folder / "retrained.csv", Retrained)


def test_jobs_of_single_places_are_one_run_of_all(tmp_path: Path, ranking: Path) -> None:
    options = replace(RETRAIN, seeds=2, stratified=len(PLACES))
    retrain(small_experiment(tmp_path / "whole", source=ranking, retrain=options), NOBODY)
    for job, place in enumerate(PLACES):
        folder = tmp_path / "sweep" / str(job)
        experiment = small_experiment(folder, source=ranking, retrain=replace(options, rank=place))
        retrain(experiment, NOBODY)
        configured(folder, experiment)
    experiment = collect(collecting(tmp_path, tmp_path / "sweep"))
    assert experiment.source_folder().path == tmp_path / "collected"
    assert timeless.table(tmp_path / "collected" / "retrained.csv") == timeless.table(
        tmp_path / "whole" / "retrained.csv"
    )
    for name in ("ranking.csv", "architectures.jsonl"):
        assert (tmp_path / "collected" / name).read_text() == (tmp_path / "whole" / name).read_text()


def test_a_run_is_left_as_it_is(tmp_path: Path, ranking: Path) -> None:
    experiment = small_experiment(tmp_path / "here", source=ranking)
    assert collect(experiment) is experiment
    assert collect(replace(experiment, source=None)).source is None
    assert not list((tmp_path / "here").iterdir())


def test_correlating_a_sweep_leaves_a_whole_study(
    tmp_path: Path, sweep: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert correlate(collecting(tmp_path, sweep), NOBODY) == pytest.approx(1.0), "truths were made to rise with scores"
    names = {path.name for path in (tmp_path / "collected").iterdir()}
    assert {"ranking.csv", "architectures.jsonl", "retrained.csv", "correlation.json", "report.html"} <= names
    assert f"Collected 6 of 6 jobs of {sweep}: 12 trainings of 6 architectures.\n" in capsys.readouterr().out
    # What was collected is a run like any other.
    again = small_experiment(tmp_path / "again", source=tmp_path / "collected")
    assert correlate(again, NOBODY) == pytest.approx(1.0)
    assert "Collected" not in capsys.readouterr().out


def test_unfinished_jobs_are_named_and_left_out(
    tmp_path: Path, sweep: Path, ranking: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made_up(sweep, {"10": 2}, ranking)
    write_records(sweep / "1" / "retrained.csv", rows_of(sweep / "1")[:1], Retrained)
    (sweep / "3" / "retrained.csv").unlink()
    (sweep / "11").mkdir()
    collect(collecting(tmp_path, sweep))
    out = capsys.readouterr().out
    assert "Collected 5 of 8 jobs" in out
    assert "Left out: job 1 (1 of 2 trainings), job 3 (it trained nothing), job 11 (it did not begin)" in out
    kept = {row.fingerprint for name in ("0", "2", "4", "5", "10") for row in rows_of(sweep / name)}
    assert {row.fingerprint for row in rows_of(tmp_path / "collected")} == kept


def test_a_failed_training_is_a_result(tmp_path: Path, sweep: Path) -> None:
    first, second = rows_of(sweep / "2")
    broken = replace(first, true_loss=float("nan"), true_error=float("nan"), failure="DivergedError")
    write_records(sweep / "2" / "retrained.csv", [broken, second], Retrained)
    collect(collecting(tmp_path, sweep))
    assert [row.failure for row in rows_of(tmp_path / "collected")].count("DivergedError") == 1
    assert len(rows_of(tmp_path / "collected")) == 12


def test_what_two_jobs_trained_stands_there_once_with_both_arms(tmp_path: Path, sweep: Path, ranking: Path) -> None:
    folder = sweep / "6"
    arms = replace(RETRAIN, shortlist=2, stratified=0, seeds=2)
    made_up(sweep, {"6": 0}, ranking)
    configured(folder, small_experiment(folder, source=ranking, retrain=arms))
    chosen = choose(ranked(RunFolder(ranking)), arms, 0)
    write_records(
        folder / "retrained.csv",
        [Retrained(name, seed, arm, 3.0, 0.5, 1, 1.0, "") for seed in (0, 1) for name, arm in chosen.items()],
        Retrained,
    )
    collect(collecting(tmp_path, sweep))
    rows = rows_of(tmp_path / "collected")
    assert [row.seed for row in rows] == sorted(row.seed for row in rows)
    assert len({(row.fingerprint, row.seed) for row in rows}) == len(rows) == 14
    arms_of = {row.fingerprint: row.arm for row in rows}
    assert sorted(arms_of.values()) == ["stratified"] * 5 + ["spread+top", "shortlist"]
    assert arms_of[ranked(RunFolder(ranking))[0].fingerprint] == "spread+top"


@pytest.mark.parametrize("table", ["ranking.csv", "architectures.jsonl"])
def test_jobs_of_two_rankings_are_refused(tmp_path: Path, sweep: Path, table: str) -> None:
    path = sweep / "4" / table
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*lines[:-2], lines[-1], lines[-2]]))
    with pytest.raises(ValueError, match=f"{sweep / '4'} has another {table} than {sweep / '0'}: .*task=sweep_report"):
        collect(collecting(tmp_path, sweep))
    assert not list((tmp_path / "collected").iterdir())


@pytest.mark.parametrize(
    ("section", "changes", "said"),
    [
        ("retrain", {"epochs": 7}, "retrain.epochs=7, and .* has 1"),
        ("dataset", {"validation": 50}, "dataset.validation=50, and .* has 60"),
        ("dataset", {"size": 32}, "dataset.size=32, and .* has None"),
    ],
)
def test_jobs_that_trained_otherwise_are_refused(
    tmp_path: Path, sweep: Path, section: str, changes: dict[str, Any], said: str
) -> None:
    path = sweep / "3" / "config.yaml"
    config = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump(config | {section: config[section] | changes}))
    with pytest.raises(ValueError, match=f"{sweep / '3'} has {said}"):
        collect(collecting(tmp_path, sweep))


def test_jobs_may_differ_in_their_seed(tmp_path: Path, sweep: Path, ranking: Path) -> None:
    made_up(sweep, {"6": 0}, ranking)
    config = yaml.safe_load((sweep / "6" / "config.yaml").read_text())
    (sweep / "6" / "config.yaml").write_text(yaml.safe_dump(config | {"seed": 3}))
    rows = [replace(row, seed=3000 + row.seed) for row in rows_of(sweep / "6")]
    write_records(sweep / "6" / "retrained.csv", rows, Retrained)
    collect(collecting(tmp_path, sweep))
    assert len(rows_of(tmp_path / "collected")) == 14


def test_a_sweep_without_a_finished_job_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sweep" / "0").mkdir(parents=True)
    with pytest.raises(ValueError, match=r"no job of .*sweep has finished its trainings: job 0 \(it did not begin\)"):
        collect(collecting(tmp_path, tmp_path / "sweep"))


@pytest.mark.parametrize("places", [range(6), range(6, 12), (0, 1, 2, 3, 4, 5, 11), range(0, 9), [11]])
def test_places_that_do_not_stand_for_the_ranking_are_refused(tmp_path: Path, ranking: Path, places: Any) -> None:
    made_up(tmp_path / "part", {str(job): place for job, place in enumerate(places)}, ranking)
    if len(places) == 1:
        collect(collecting(tmp_path, tmp_path / "part"))  # one architecture carries no coefficient anyway
        return
    with pytest.raises(ValueError, match=rf"{len(places)} places .* do not stand for all 12 .*range\(0,12,1\)"):
        collect(collecting(tmp_path, tmp_path / "part"))


def test_what_runs_choose_and_every_even_range_stands_for_the_ranking(tmp_path: Path) -> None:
    from smash_lightning.stages.collect import _require_even

    table = [Scored(f"{n:03}", "random", "", n, n, n, 9.0, 60, 1, 1, 1, "1", 0.1) for n in range(60)]

    def trained(names: list[str]) -> list[Retrained]:
        return [Retrained(name, 0, "stratified", 3.0, 0.1, 1, 1.0, "") for name in names]

    for size in range(1, 61):
        pool = table[:size]
        for count in range(1, size + 1):
            _require_even(pool, trained(list(choose(pool, replace(RETRAIN, stratified=count), 0))), "")
        for step in range(1, size + 1):
            _require_even(pool, trained([row.fingerprint for row in pool[::step]]), "")


def test_perturbations_take_no_place(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "ranked")
    architectures = rank_at_random(folder, COUNT)
    rows = read_records(folder.ranking, Scored)
    changed = [
        scored_architecture(
            architecture, row.smash_score, *(("perturb", rows[1].fingerprint) if place % 2 == 0 else ())
        )
        for place, (architecture, row) in enumerate(zip(architectures, rows, strict=True))
    ]
    write_records(folder.ranking, changed, Scored)
    made_up(tmp_path / "sweep", {str(place): place for place in range(6)}, folder.path)
    collect(collecting(tmp_path, tmp_path / "sweep"))
    trained = {row.fingerprint for row in rows_of(tmp_path / "collected")}
    assert trained == {row.fingerprint for row in changed if row.strategy == "random"}


def test_hypernets_are_found_in_the_run_that_was_built_on(tmp_path: Path, sweep: Path, ranking: Path) -> None:
    first = RunFolder(ranking)
    first.checkpoints.mkdir()
    torch.save({"smash": {"seconds": 90.0}, "callbacks": {}}, first.hypernet(0))
    collected = tmp_path / "collected"
    collect(collecting(tmp_path, sweep))
    configured(collected, collecting(tmp_path, sweep))
    for folder in (ranking, sweep / "2", collected):
        assert find_hypernets(RunFolder(folder)) == [first.hypernet(0)], folder
    # A single checkpoint that was named is what scored, or lies in the run whose ranking was taken.
    torch.save({}, first.hypernet(1))
    configured(sweep / "2", replace(collecting(tmp_path, sweep), source=first.hypernet(1)))
    assert find_hypernets(RunFolder(sweep / "2")) == [first.hypernet(1)]
    shutil.rmtree(first.checkpoints)
    assert find_hypernets(RunFolder(collected)) == []
    assert find_hypernets(RunFolder(sweep / "2")) == []
    configured(collected, replace(collecting(tmp_path, sweep), source=collected))
    assert find_hypernets(RunFolder(collected)) == [], "a run that names itself ends the search"


@pytest.mark.slow
def test_a_sweep_over_places_by_the_command_line(tmp_path: Path) -> None:
    assert smash(tmp_path, *TINY, "task=search", "hydra.run.dir=run").well
    assert smash(tmp_path, "task=rank", "checkpoint=run", "hydra.run.dir=ranked", "logger=none").well
    jobs = [
        "-m",
        "task=retrain",
        "checkpoint=ranked",
        "logger=none",
        "hydra.sweep.dir=sweep",
        "retrain.rank=1,4,7,9,12",
    ]
    assert smash(tmp_path, *jobs).well
    ended = smash(tmp_path, "task=correlate", "checkpoint=sweep", "hydra.run.dir=collected", "logger=none")
    assert ended.well
    assert "Collected 5 of 5 jobs of sweep: 10 trainings of 5 architectures." in ended.out
    config = yaml.safe_load((tmp_path / "collected" / "config.yaml").read_text())
    assert (config["retrain"]["rank"], config["search_space"]["max_ops"]) == (None, 4)
    whole = ["task=retrain", "checkpoint=ranked", "hydra.run.dir=whole", "logger=none"]
    assert smash(tmp_path, *whole, "retrain.shortlist=0", "retrain.random=0").well
    assert timeless.table(tmp_path / "collected" / "retrained.csv") == timeless.table(
        tmp_path / "whole" / "retrained.csv"
    )
    # The HyperNets lie two runs behind.
    assert (tmp_path / "collected" / "settling.png").exists()
    text = (tmp_path / "collected" / "correlation.json").read_text()
    found = yaml.safe_load(text)["contest"]["predictors"]["smash_score"]["training_seconds"]
    spent = [
        torch.load(path, weights_only=True)["smash"]["seconds"] for path in RunFolder(tmp_path / "run").hypernets()
    ]
    assert found == pytest.approx(sum(spent))
    beyond = smash(tmp_path, "task=retrain", "checkpoint=ranked", "retrain.rank=14", "logger=none")
    assert "retrain.rank=14 is beyond the 14 random architectures" in beyond.error
