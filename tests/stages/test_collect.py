"""The jobs of a sweep over trainings are one run's trainings."""

import json
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from smash_lightning.evaluation.tables import RANKING, RETRAINED, read_ranking, read_retrained, write_table
from smash_lightning.report.tracker import Tracker
from smash_lightning.stages import Experiment, RunFolder, correlate, retrain
from smash_lightning.stages.correlate import _require_even, collect
from smash_lightning.stages.selection import choose
from tests import timeless
from tests.stages.small_run import RETRAIN, rank_at_random, small_experiment, trained

SILENT = Tracker([])
COUNT = 12
PLACES = (1, 4, 7, 10)  # what `stratified=4` takes of twelve


def configured(folder: Path, experiment: Experiment, **changes: Any) -> None:
    """The part of a run's `config.yaml` that collecting reads."""
    plain = {
        "seed": experiment.seed,
        "checkpoint": str(experiment.source),
        "source_run": str(experiment.source_folder().path),
        "retrain": {"_target_": "smash_lightning.training.RetrainOptions", **asdict(experiment.retrain)},
        "dataset": {"name": "digits", "validation": 60, "source": {"root": str(folder)}},
        "overrides": [f"retrain.rank={experiment.retrain.rank}"],
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(plain | changes))


def made_up(sweep: Path, places: Mapping[str, int], ranking: Path, seeds: int = 2) -> None:
    """Finished jobs by their names, with invented results."""
    table = read_ranking(RunFolder(ranking))
    pool = list(table["fingerprint"][table["strategy"] == "random"])
    for job, place in places.items():
        folder = sweep / job
        experiment = small_experiment(folder, source=ranking, retrain=replace(RETRAIN, rank=place, seeds=seeds))
        for name in ("ranking.csv", "architectures.jsonl"):
            shutil.copy(ranking / name, folder / name)
        rows = [trained(pool[place], seed, 0.1 * place + 0.01 * seed) for seed in range(seeds)]
        write_table(folder / "retrained.csv", RETRAINED, rows)
        configured(folder, experiment)
        (folder / "result.json").write_text("{}")


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


def rows_of(folder: Path) -> pd.DataFrame:
    return read_retrained(RunFolder(folder))


def test_jobs_of_single_places_are_one_run_of_all(tmp_path: Path, ranking: Path) -> None:
    options = replace(RETRAIN, seeds=2, stratified=len(PLACES))
    retrain(small_experiment(tmp_path / "whole", source=ranking, retrain=options), SILENT)
    for job, place in enumerate(PLACES):
        folder = tmp_path / "sweep" / str(job)
        experiment = small_experiment(folder, source=ranking, retrain=replace(options, rank=place))
        retrain(experiment, SILENT)
        configured(folder, experiment)
        (folder / "result.json").write_text("{}")
    experiment = collect(collecting(tmp_path, tmp_path / "sweep"))
    assert experiment.source_folder().path == tmp_path / "collected"
    assert timeless.table(tmp_path / "collected" / "retrained.csv") == timeless.table(
        tmp_path / "whole" / "retrained.csv"
    )
    for name in ("ranking.csv", "architectures.jsonl"):
        assert (tmp_path / "collected" / name).read_text() == (tmp_path / "whole" / name).read_text()
    histories = (pd.read_csv(tmp_path / name / "training_history.csv") for name in ("collected", "whole"))
    keys = ["fingerprint", "seed", "step"]
    pd.testing.assert_frame_equal(*(table.sort_values(keys, ignore_index=True) for table in histories))


def test_correlating_a_sweep_makes_a_complete_run(
    tmp_path: Path, sweep: Path, capsys: pytest.CaptureFixture[str], no_report: None
) -> None:
    assert correlate(collecting(tmp_path, sweep), SILENT) == pytest.approx(1.0), "losses rise with scores"
    names = {path.name for path in (tmp_path / "collected").iterdir()}
    assert {"ranking.csv", "architectures.jsonl", "retrained.csv", "correlation.json"} <= names
    assert f"Collected 6 of 6 jobs of {sweep}: 12 trainings of 6 architectures.\n" in capsys.readouterr().out
    # What was collected is a run like any other.
    again = small_experiment(tmp_path / "again", source=tmp_path / "collected")
    assert correlate(again, SILENT) == pytest.approx(1.0)
    assert "Collected" not in capsys.readouterr().out


def test_unfinished_jobs_are_named_and_left_out(
    tmp_path: Path, sweep: Path, ranking: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made_up(sweep, {"10": 2}, ranking)
    for job in ("1", "3"):
        (sweep / job / "result.json").unlink()
    (sweep / "11").mkdir()
    failed = rows_of(sweep / "2")  # a training that failed is a result
    failed.loc[0, ["true_loss", "true_error", "failure"]] = [float("nan"), float("nan"), "DivergedError"]
    write_table(sweep / "2" / "retrained.csv", RETRAINED, failed)
    collect(collecting(tmp_path, sweep))
    out = capsys.readouterr().out
    assert "Collected 5 of 8 jobs" in out
    assert "Left out, as they are not finished: job 1, job 3, job 11." in out
    kept = {name for job in ("0", "2", "4", "5", "10") for name in rows_of(sweep / job)["fingerprint"]}
    rows = rows_of(tmp_path / "collected")
    assert set(rows["fingerprint"]) == kept
    assert rows["failure"].tolist().count("DivergedError") == 1


def test_what_two_jobs_trained_is_one_row_with_both_groups(tmp_path: Path, sweep: Path, ranking: Path) -> None:
    folder = sweep / "6"
    options = replace(RETRAIN, shortlist=2, stratified=0, seeds=2)
    made_up(sweep, {"6": 0}, ranking)
    configured(folder, small_experiment(folder, source=ranking, retrain=options))
    chosen = choose(read_ranking(RunFolder(ranking)), options, 0)
    rows = [trained(name, seed, 0.5, *groups) for seed in (0, 1) for name, groups in chosen.items()]
    write_table(folder / "retrained.csv", RETRAINED, rows)
    collect(collecting(tmp_path, sweep))
    table = rows_of(tmp_path / "collected")
    assert table["seed"].is_monotonic_increasing
    assert len(table.drop_duplicates(["fingerprint", "seed"])) == len(table) == 14
    assert table.groupby(["shortlist", "stratified"]).size().to_dict() == {(0, 1): 10, (1, 0): 2, (1, 1): 2}
    both = set(table["fingerprint"][(table["shortlist"] == 1) & (table["stratified"] == 1)])
    assert both == {read_ranking(RunFolder(ranking))["fingerprint"][0]}


@pytest.mark.parametrize(
    ("section", "changes", "message"),
    [
        ("retrain", {"epochs": 7}, "retrain.epochs was 1, now 7"),
        ("dataset", {"size": 32}, "dataset.size was absent, now 32"),
        ("ranking.csv", {}, "task=sweep_report"),
        ("architectures.jsonl", {}, "task=sweep_report"),
        ("data.json", {}, "the test images or their labels are others than those of"),
    ],
)
def test_jobs_that_do_not_belong_together_are_refused(
    tmp_path: Path, sweep: Path, section: str, changes: dict[str, Any], message: str
) -> None:
    job, path = sweep / "3", sweep / "3" / "config.yaml"
    if section == "data.json":
        for folder, test in ((sweep / "0", "a"), (job, "b")):
            content = {"train": "x", "validation": "y", "test": test}
            (folder / section).write_text(json.dumps({"content": content}))
        message = f"{message} {sweep / '0'}: "
    elif changes:
        config = yaml.safe_load(path.read_text())
        path.write_text(yaml.safe_dump(config | {section: config[section] | changes}))
        message = f"{job} was run with other values than {sweep / '0'}: {message}"
    else:
        lines = (job / section).read_text().splitlines(keepends=True)
        (job / section).write_text("".join([*lines[:-2], lines[-1], lines[-2]]))
        message = f"{job} has another {section} than {sweep / '0'}: .*{message}"
    with pytest.raises(ValueError, match=message):
        collect(collecting(tmp_path, sweep))
    assert not list((tmp_path / "collected").iterdir())


def test_jobs_may_differ_in_their_seed(tmp_path: Path, sweep: Path, ranking: Path) -> None:
    made_up(sweep, {"6": 0}, ranking)
    config = yaml.safe_load((sweep / "6" / "config.yaml").read_text())
    (sweep / "6" / "config.yaml").write_text(yaml.safe_dump(config | {"seed": 3}))
    rows = rows_of(sweep / "6")
    write_table(sweep / "6" / "retrained.csv", RETRAINED, rows.assign(seed=3000 + rows["seed"]))
    collect(collecting(tmp_path, sweep))
    assert len(rows_of(tmp_path / "collected")) == 14


def test_a_sweep_without_a_finished_job_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sweep" / "0").mkdir(parents=True)
    with pytest.raises(ValueError, match=r"no job of .*sweep has finished its trainings"):
        collect(collecting(tmp_path, tmp_path / "sweep"))


@pytest.mark.parametrize("places", [range(6), range(6, 12), (0, 1, 2, 3, 4, 5, 11), [11]])
def test_ranks_that_do_not_represent_the_ranking_are_refused(tmp_path: Path, ranking: Path, places: Any) -> None:
    made_up(tmp_path / "part", {str(job): place for job, place in enumerate(places)}, ranking)
    if len(places) == 1:
        collect(collecting(tmp_path, tmp_path / "part"))  # one architecture carries no coefficient anyway
        return
    with pytest.raises(ValueError, match=rf"{len(places)} ranks .* do not represent all 12 .*range\(0,12,1\)"):
        collect(collecting(tmp_path, tmp_path / "part"))


def test_what_runs_choose_and_every_even_range_represents_the_ranking(tmp_path: Path) -> None:
    names = [f"{n:03}" for n in range(60)]
    table = pd.DataFrame({"fingerprint": names, "strategy": "random", "parent": ""})

    def stratified(chosen: Iterable[str]) -> pd.DataFrame:
        return pd.DataFrame({"fingerprint": list(chosen), "stratified": 1})

    for size in (1, 2, 3, 7, 20, 60):
        pool = table[:size]
        for count in range(1, size + 1):
            _require_even(pool, stratified(choose(pool, replace(RETRAIN, stratified=count), 0)), "")
        for step in range(1, size + 1):
            _require_even(pool, stratified(names[:size:step]), "")


def test_perturbations_have_no_rank(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "ranked")
    rank_at_random(folder, COUNT)
    table = read_ranking(folder)
    odd = table.index % 2 == 1
    table = table.assign(strategy=np.where(odd, "random", "perturb"), parent=np.where(odd, "", table["fingerprint"][1]))
    write_table(folder.ranking, RANKING, table)
    made_up(tmp_path / "sweep", {str(place): place for place in range(6)}, folder.path)
    collect(collecting(tmp_path, tmp_path / "sweep"))
    assert set(rows_of(tmp_path / "collected")["fingerprint"]) == set(table["fingerprint"][odd])


def test_hypernets_are_found_in_the_run_that_was_built_on(tmp_path: Path, sweep: Path, ranking: Path) -> None:
    first = RunFolder(ranking)
    first.checkpoints.mkdir()
    torch.save({"smash": {"seconds": 90.0}, "callbacks": {}}, first.hypernet(0))
    collected = tmp_path / "collected"
    collect(collecting(tmp_path, sweep))
    configured(collected, collecting(tmp_path, sweep))
    for folder in (ranking, sweep / "2", collected):
        assert RunFolder(folder).find_hypernets() == [first.hypernet(0)], folder
    assert [run.path for run in RunFolder(collected).sources()] == [collected, sweep / "0", ranking]
    # Of several HyperNets the one that was named by its checkpoint is what scored.
    torch.save({}, first.hypernet(1))
    configured(sweep / "2", replace(collecting(tmp_path, sweep), source=first.hypernet(1)))
    assert RunFolder(sweep / "2").find_hypernets() == [first.hypernet(1)]
    shutil.rmtree(first.checkpoints)
    assert RunFolder(collected).find_hypernets() == []
    assert RunFolder(sweep / "2").find_hypernets() == []
    configured(collected, replace(collecting(tmp_path, sweep), source=collected))
    assert RunFolder(collected).find_hypernets() == [], "a run that names itself ends the search"
