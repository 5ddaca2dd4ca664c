"""Options and runs that an analysis cannot use."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from smash_lightning import analyses
from smash_lightning.analyses import Variant
from smash_lightning.analyses.frame import conditional_scorer
from smash_lightning.hypernet import SharedWeights, UnconditionalHyperNet, WeightSource
from smash_lightning.strategies import Perturb, Racing
from tests.analyses.small_analysis import NO_LOGGERS, copied, experiment_on, finished_run
from tests.stages.small_run import SEARCH

UNEQUAL = {"perturb": Perturb(4, 0.2), "more": Perturb(5, 0.2)}
RACING = {"racing": Racing(first=20, growth=2, keep=0.1, min_keep=1, risk=0), "architectures": 8, "repeats": 2}
GRADIENT = {"parents": 6, "pool": 4, "probability": 0.3, "trials": 3}
NOTHING = "nowhere"


def odd(**values: Any) -> dict[str, Any]:
    return {"name": "x", "title": "x", "variants": {"odd": Variant(**values)}}


@pytest.mark.parametrize(
    ("analysis", "options", "message"),
    [
        ("benchmark", {"image": [1, 8]}, r"^task.image needs channels and 2 sizes, got \[1, 8\]"),
        ("datasets", {"known": {}, "download": ["mnist"]}, "^task.download: there is no data set mnist"),
        ("draw", {"preset": "wrn", "architecture": "file"}, "^give task.preset or task.architecture, not both"),
        ("draw", {"preset": "odd"}, "^task.preset=odd: "),
        ("gradient_conflict", {"architectures": 5, "batches": 99}, "^task.batches=99: there are 7 batches"),
        ("racing", RACING | {"candidates": (9,)}, r"^task.candidates=\[9\] must be between 2 and task.architectures=8"),
        ("replay", {}, r"^task.file: name one file hypernetN-diverged.json in .*; found: none"),
        ("settling", {"every": 1}, "^task.every must be at most half of search.epochs=1, got 1"),
        ("strategies", {"strategies": UNEQUAL, "start": 3, "repeats": 2}, r"one count for all.*got \[4, 5\]"),
        ("sweep_report", {}, "^task.sweep has no value"),
        ("sweep_report", {"sweep": NOTHING}, "nowhere is no sweep"),
        ("tables", {"runs": [], "stand_ins": {}}, "^task.runs is empty"),
        ("tables", {"runs": [NOTHING], "stand_ins": {}}, "^task.runs: nowhere holds no retrained.csv"),
        ("variants", odd(hypernet={"widht": 3}), r"^task.variants.odd.hypernet.widht: there is no such value; known: "),
        ("variants", odd(ranking={"noise": 3}), r"^task.variants.odd.ranking.noise: there is no such value; known: "),
        ("variants", odd(search={"epochs": "many"}), r"^search.epochs must be .*, got 'many'"),
    ],
)
def test_an_impossible_option_is_named(
    analysis: str, options: dict[str, Any], message: str, source: Path, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        getattr(analyses, analysis)(experiment_on(source, tmp_path), NO_LOGGERS, **options)
    assert not list(tmp_path.glob("*.*"))


@pytest.mark.parametrize("analysis", ["draw", "replay"])
def test_an_earlier_run_is_needed(analysis: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="checkpoint=FOLDER"):
        getattr(analyses, analysis)(experiment_on(None, tmp_path), NO_LOGGERS)


def few(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of four random architectures and of all others."""
    ours = table["strategy"] == "random" if "strategy" in table else table["fingerprint"].notna()
    return table[~ours | table["fingerprint"].isin(table["fingerprint"][ours].unique()[:4])]


@pytest.mark.parametrize(
    ("options", "table", "change", "message"),
    [
        ({}, "ranking", lambda t: t.drop(columns="val_loss_1"), "one HyperNet, .*search.hypernets=2 or more"),
        ({}, "retrained", few, "has test losses of 4 representative .* fewer than 5, .*retrain.stratified"),
        (GRADIENT, "ranking", few, "holds 4 random architectures .* fewer than 5, .*strategies.random.count"),
    ],
)
def test_what_a_run_lacks_is_named_with_the_option_that_gives_it(
    options: dict[str, Any], table: str, change: Any, message: str, source: Path, tmp_path: Path
) -> None:
    files = [str(path.relative_to(source)) for path in source.rglob("*.*") if path.is_file()]
    earlier = copied(source, tmp_path / "earlier", *files)
    change(pd.read_csv(earlier / f"{table}.csv")).to_csv(earlier / f"{table}.csv", index=False)
    analysis = analyses.gradient if options else analyses.averaging
    with pytest.raises(ValueError, match=message):
        analysis(experiment_on(earlier, tmp_path / "new"), NO_LOGGERS, **options)


@pytest.mark.parametrize("kind", [SharedWeights, UnconditionalHyperNet])
def test_hypernets_without_c_are_refused(tmp_path: Path, kind: type[WeightSource]) -> None:
    changes = {"hypernet": experiment_on(None, tmp_path).hypernet.with_kind(kind), "search": SEARCH}
    run = finished_run(tmp_path / "run", trained=False, **changes)
    message = rf"^task=x needs HyperNets whose input is c, .* {run} \({kind.__name__}\): .*hypernet=conditional"
    with pytest.raises(ValueError, match=message):
        conditional_scorer(experiment_on(run, tmp_path / "new", **changes), "x")
