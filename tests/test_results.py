"""Figures in README.md and docs/results.md are those of docs/results/*.json."""

import importlib.util
import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "docs" / "results"
CHECKED = (ROOT / "README.md", ROOT / "docs" / "results.md")
FIGURE = re.compile(r"-?[01]?\.\d\d \[-?[01]?\.\d\d, -?[01]?\.\d\d\]")
KEYS = {"command", "commit", "machine", "date", "figures"}


def script(name: str) -> ModuleType:
    specification = importlib.util.spec_from_file_location(name, RESULTS / f"{name}.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


with pytest.MonkeyPatch.context() as patch:
    patch.syspath_prepend(str(RESULTS))
    SCALE, KILLS, FAULTS, RECIPE, FUZZ = (script(name) for name in ("scale", "kills", "faults", "recipe", "fuzz"))
    SIZES, EXPERIMENTS, RENDER, COLLECT = (script(name) for name in ("sizes", "experiments", "render", "collect"))
RECORDS = {"faults": FAULTS, "kills": KILLS, "fuzz": FUZZ}


def estimates(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        if {"value", "low", "high"} <= value.keys():
            yield value
        else:
            for inner in value.values():
                yield from estimates(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from estimates(inner)


@pytest.mark.parametrize("page", list(RENDER.pages()), ids=lambda path: str(path.relative_to(ROOT)))
def test_tables_are_those_of_the_files(page: Path) -> None:
    text = page.read_text()
    assert text == RENDER.rendered(text), "run python docs/results/render.py"
    assert text.count("<!-- results:") == len(RENDER.BLOCK.findall(text)), "a table without an end"


@pytest.mark.parametrize("page", CHECKED, ids=lambda path: path.name)
def test_every_figure_is_in_a_file(page: Path) -> None:
    published = {RENDER.figure(e) for path in RESULTS.glob("*.json") for e in estimates(json.loads(path.read_text()))}
    text = RENDER.BLOCK.sub("", page.read_text())  # compared as a whole above
    assert set(FIGURE.findall(text)) <= published


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*.json")), ids=lambda path: path.stem)
def test_files_state_their_source(path: Path) -> None:
    published = json.loads(path.read_text())
    assert published.keys() == KEYS
    assert "dirty" not in published["commit"], "published runs use a commit"
    assert len(published["command"]) == len(published["figures"])


def test_the_plan_for_many_gpus_has_the_figures_of_its_simulation() -> None:
    page = (ROOT / "docs" / "scale.md").read_text()
    figures = json.loads((RESULTS / "scale.json").read_text())["figures"]["plan"]
    for name, rows in figures["simulations"].items():
        assert SCALE.table(name, rows) in page, name
    for size, value in [pair for sizes in figures["sizes"].values() for pair in sizes.items()]:
        assert f"{value:,.3g}" in page or f"{value:,.0f}" in page, size
    costs = {name: value for name, (value, _) in SCALE.COSTS.items()}
    assert figures["costs"] == costs, "run python docs/results/scale.py"


@pytest.mark.parametrize("name", [name for name in RECORDS if (RESULTS / f"{name}.json").exists()])
def test_tables_of_attempts_to_break_a_run_are_those_of_the_records(name: str) -> None:
    figures = json.loads((RESULTS / f"{name}.json").read_text())["figures"]
    assert RECORDS[name].table(figures) in (RESULTS / "processes.md").read_text()
    if name == "faults":
        assert [one for row in figures.values() for one in row["faults"]] == []


def test_the_table_of_recipes_is_that_of_the_record() -> None:
    (figures,) = json.loads((RESULTS / "recipe.json").read_text())["figures"].values()
    assert RECIPE.table(figures) in (RESULTS / "recipe.md").read_text()


def test_the_tables_of_the_experiments_are_those_of_the_records() -> None:
    page = (RESULTS / "networks.md").read_text()
    (sizes,) = json.loads((RESULTS / "sizes.json").read_text())["figures"].values()
    assert SIZES.table(sizes) in page
    record = json.loads((RESULTS / "experiments.json").read_text())
    assert EXPERIMENTS.table(record["figures"]) in page
    commands = [f"python run.py {EXPERIMENTS.command(name)}" for name in record["figures"]]
    assert commands == record["command"], "the figures are those of other options"


def test_the_readme_has_a_table_of_results() -> None:
    blocks = [(name, table) for _, name, table, *_ in RENDER.BLOCK.findall((ROOT / "README.md").read_text())]
    files = [f"docs/results/{name}.json" for name in ("default", "default", "confirmation")]
    assert blocks == list(zip(files, ("verdict", "", "lines"), strict=True))


def estimate(value: float) -> dict[str, float]:
    return {"value": value, "low": value - 0.2, "high": value + 0.2, "resamples": 100}


def finished_run(folder: Path, seed: int) -> Path:
    """A folder with the files that publication reads."""
    folder.mkdir()
    predictors = {
        name: {"spearman": estimate(value), "delta_spearman": estimate(0.5 - value), "size_matched_tau": None}
        for name, value in {"smash_score": 0.5, "params": 0.3, "depth": 0.1}.items()
    }
    ground_truth = {
        "reliability": {"icc_mean": estimate(0.7), "ceiling": estimate(0.8)},
        "scores": {"smash_score": {"spearman": estimate(0.5)}},
        "partial_given_sizes": estimate(0.4),
        "shortlist": {"difference": -0.02, "mean_representative": 0.1, "z": -3.0},
    }
    correlation = dict.fromkeys(COLLECT.COPIED) | {
        "architectures": 60,
        "loss": ground_truth,
        "error": ground_truth,
        "comparison": {"predictors": predictors},
        "hypernet_pairs": [],
    }
    (folder / "correlation.json").write_text(json.dumps(correlation))
    differences = {"val_loss": estimate(0.1 + seed / 10), "params": estimate(0.3), "depth": None}
    calibration = dict.fromkeys(COLLECT.CALIBRATION) | {"spearman": estimate(0.6), "differences": differences}
    (folder / "calibration.json").write_text(json.dumps(calibration | {"learning_curve": []}))
    (folder / "config.yaml").write_text(yaml.safe_dump({"seed": seed, "overrides": [f"seed={seed}"]}))
    (folder / "result.json").write_text("{}")
    return folder


def test_figures_of_runs_become_tables(tmp_path: Path) -> None:
    folders = [finished_run(tmp_path / str(seed), seed) for seed in (0, 1)]
    published = COLLECT.collect(folders, "0123456789ab", "a machine")
    assert published.keys() == KEYS
    assert published["command"] == ["python run.py seed=0", "python run.py seed=1"]
    (path := tmp_path / "default.json").write_text(json.dumps(published))
    summary = RENDER.render(path, None).splitlines()
    assert "learning_curve" not in published["figures"]["seed 0"]["calibration"]
    assert summary[0] == "| Spearman with the mean test loss | mean (SD) | seed 0 | seed 1 |"
    assert "| **SMASH score** | .50 (.00) | .50 [.30, .70] | .50 [.30, .70] |" in summary
    minus = "| calibrated prediction minus validation loss with generated weights, paired |"
    assert f"{minus} .15 (.07) | .10 [-.10, .30] | .20 [.00, .40] |" in summary
    assert "| shortlist: change of the test loss | -20% (0%) | -20% (z = -3.0) | -20% (z = -3.0) |" in summary
    for table in RENDER.TABLES:
        lines = RENDER.render(path, table).splitlines()
        assert {line.count("|") for line in lines if line.startswith("|")} == {8 if table == "lines" else 5}
        assert all(FIGURE.fullmatch(text) for text in re.findall(r"[-.\d]+ \[.*?\]", "\n".join(lines)))
    assert lines[2].startswith("| seed 0 | .80 [.60, 1.00] | .60 [.40, .80] |"), (
        "the last table has a line for each run"
    )


def test_runs_that_are_not_finished_are_refused(tmp_path: Path) -> None:
    folder = finished_run(tmp_path / "run", 0)
    with pytest.raises(ValueError, match="another folder has seed 0"):
        COLLECT.collect([folder, folder], "", "")
    (folder / "result.json").unlink()
    with pytest.raises(ValueError, match=r"no result\.json"):
        COLLECT.collect([folder], "", "")
