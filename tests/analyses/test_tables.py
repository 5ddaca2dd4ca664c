"""The paper's tables: published rows, and rows of finished runs, which are means of their trainings."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
import yaml

from smash_lightning.analyses import tables
from smash_lightning.evaluation.tables import RETRAINED, read_ranking, read_retrained, write_table
from smash_lightning.run_folder import RunFolder
from smash_lightning.search_space.presets import resnet
from tests.analyses.small_analysis import NO_LOGGERS
from tests.stages.small_run import small_experiment

PUBLISHED = {"cifar10": 14, "cifar100": 11, "stl10": 4, "imagenet32": 4}  # rows with an error rate for the data set


def made(folder: Path, *runs: Path, **stand_ins: str) -> pd.DataFrame:
    tables(small_experiment(folder), NO_LOGGERS, [str(run) for run in runs], stand_ins)
    return pd.read_csv(folder / "tables.csv").set_index("network")


def repeated(source: Path, folder: Path, seed: int) -> Path:
    """The run with its test errors raised by `seed`, and as many more for a given architecture."""
    shutil.copytree(source, folder)
    run = RunFolder(folder)
    rows = read_retrained(run)
    rows["true_error"] += seed
    run.append_architecture(resnet(10, 4), "resnet-10-4")
    given = rows[:2].assign(fingerprint=resnet(10, 4).fingerprint, seed=[0, 1], true_error=[1.0, 4.0], stratified=0)
    given["true_error"] += 2 * seed
    write_table(run.retrained, RETRAINED, pd.concat([rows, given.assign(preset=1)]))
    run.config.write_text(yaml.safe_dump({"overrides": ["search_space.max_ops=3", f"seed={seed}"]}))
    return folder


def test_rows_of_one_run_are_means_over_seeds_and_over_architectures(source: Path, tmp_path: Path) -> None:
    table = made(tmp_path / "tables", source)
    run = RunFolder(source)
    trained, ranking = read_retrained(run), read_ranking(run)
    first = next(name for name in ranking["fingerprint"] if name in set(trained["fingerprint"]))
    mine = trained[trained["fingerprint"] == first]
    best, random = table.loc["best by SMASH score"], table.loc["random candidates, mean"]
    assert best["error"] == pytest.approx(sum(mine["true_error"]) / 2)
    assert best["error_sd"] == pytest.approx(mine["true_error"].std())
    assert (best["n"], best["over"], best["data"], best["source"]) == (2, "seed", "digits", "default options")
    assert best["params"] == ranking.set_index("fingerprint").loc[first, "params"]
    assert (random["n"], random["over"]) == (6, "architecture")
    assert random["error"] == pytest.approx(sum(trained["true_error"]) / 12)
    assert random["found_minus"] == pytest.approx(best["error"] - random["error"])
    assert set(table.index) == {"best by SMASH score", "random candidates, mean"}, "no paper's table has the digits"


def test_runs_that_differ_in_their_seed_are_one_row_and_differences_are_paired(source: Path, tmp_path: Path) -> None:
    runs = [repeated(source, tmp_path / "sweep" / str(seed), seed) for seed in range(3)]
    table = made(tmp_path / "tables", runs[0].parent)
    assert set(table["n"]) == {3}
    assert set(table["over"]) == {"run"}
    assert set(table["source"]) == {"search_space.max_ops=3"}
    preset, best = table.loc["resnet-10-4"], table.loc["best by SMASH score"]
    assert (preset["error"], preset["error_sd"]) == pytest.approx((4.5, 2.0))
    assert preset["found_minus"] == pytest.approx(best["error"] - 4.5)
    half = 4.303 * 1 / 3**0.5  # Student's quantile of two degrees of freedom; the difference falls by one per seed
    assert preset["found_minus_high"] - preset["found_minus"] == pytest.approx(half, rel=1e-3)
    text, page = ((tmp_path / "tables" / name).read_text() for name in ("tables.md", "report.html"))
    assert "| resnet-10-4 | " in text
    assert "| 3 runs | " in text
    assert "<td>resnet-10-4</td>" in page


def test_published_rows_and_an_ensemble_are_next_to_a_stand_in(source: Path, tmp_path: Path) -> None:
    folder = tmp_path / "evaluated"
    folder.mkdir()
    found = {"data": "digits", "networks": 3, "images": 697, "true_error": {"value": 2.0, "low": 1.0, "high": 3.0}}
    (folder / "evaluation.json").write_text(json.dumps(found))
    for data, count in PUBLISHED.items():
        table = made(tmp_path / data, source, folder, digits=data)
        assert set(table["data"]) == {data}
        published = table[table["images"] == data]
        assert len(published) == count
        assert published["source"].str.startswith("Brock et al. 2018, table ").all()
        text = (tmp_path / data / "tables.md").read_text()
        best = "| best by SMASH score, ensemble of 3 | stand-in: digits | \N{EN DASH} | \N{EN DASH} |"
        assert f"{best} 2.00 [1.00, 3.00] | " in text
        assert "| 697 images | " in text
    assert table.loc["SMASHv2", ["params", "error", "error_top5"]].tolist() == [16_200_000, 38.62, 16.33]
