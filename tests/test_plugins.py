"""Plug-ins from outside the package, named as a user names them: in a folder of configurations, on the command line."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from smash_lightning.architecture import Architecture
from smash_lightning.evaluation.tables import BASELINES, read_ranking, read_retrained, read_table
from smash_lightning.hypernet import load_hypernet
from smash_lightning.scoring import BatchNormPolicy, RecalibratedStatistics, Scorer, ScoringData
from smash_lightning.scoring.smash_score import CandidateMetrics
from smash_lightning.stages import RunFolder
from tests.command_line import configuration, smash
from tests.plugins import Chains, Dilation, Halved, Scaled, Smallest
from tests.test_run import DIGITS

CHAINS = """\
_target_: tests.plugins.Chains
_partial_: true
size_of_banks: 4
ops: 5
dilations: [1, 2, 3]
"""
SCALED = """\
_target_: tests.plugins.Scaled
hidden: 3
names: [a, b]
"""
MINE = [
    "search_space=chains",
    "ranking.size_tolerance=null",
    "hypernet=scaled",
    "ranking.batch_norm._target_=tests.plugins.Halved",
    "+ranking.batch_norm.factor=0.25",
    "ranking.smash_score._target_=tests.plugins.Smallest",
    "+ranking.strategies.worst={_target_: tests.plugins.FromTheWorst, count: 2, probability: 0.3}",
    "+baselines.baselines.dilation={_target_: tests.plugins.Dilation, weight: 0.5}",
]
QUICK = [
    "workers=1",
    "logger=none",
    "search.epochs=2",
    "search.hypernets=1",
    "ranking.fixed=0",
    "ranking.strategies.random.count=9",
    "ranking.strategies.perturb.count=0",
    "ranking.strategies.markov.count=0",
    "retrain.epochs=1",
    "retrain.seeds=2",
    "retrain.stratified=5",
    "retrain.random=0",
    "retrain.shortlist=2",
    "baselines=cheap",
    "evaluation.bootstrap=200",
]
SPACE = Chains(DIGITS.image_spec, size_of_banks=4, ops=5, dilations=[1, 2, 3])  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a whole run that is made of plug-ins."""
    place = tmp_path_factory.mktemp("plugins")
    (place / "mine" / "search_space").mkdir(parents=True)
    (place / "mine" / "search_space" / "chains.yaml").write_text(CHAINS)
    (place / "mine" / "hypernet").mkdir()
    (place / "mine" / "hypernet" / "scaled.yaml").write_text(SCALED)
    folder = place / "run"
    assert smash(place, "--config-dir=mine", *MINE, *QUICK, f"hydra.run.dir={folder}").well
    return folder


def scored(folder: Path) -> list[Any]:
    return list(read_ranking(RunFolder(folder)).itertuples(index=False))


def by_hand(folder: Path, policy: BatchNormPolicy, architecture: Architecture) -> float:
    """The validation loss with another scorer than the run's."""
    hypernet = load_hypernet(RunFolder(folder).hypernet(0), SPACE, DIGITS.specification())
    validation = DIGITS.normalised(DIGITS.validation)
    scoring_data = ScoringData(validation.images, validation.labels, DIGITS.recalibration_images(), (), 500)
    return Scorer([hypernet], scoring_data, policy=policy, seed=0)(architecture).val_loss


def test_architectures_and_weights_are_of_ones_own_space_and_hypernet(run: Path) -> None:
    architectures = RunFolder(run).read_architectures()
    assert len(architectures) == 11
    assert all(SPACE.contains(architecture) for architecture in architectures.values())
    saved = torch.load(RunFolder(run).hypernet(0), weights_only=True)["smash"]
    assert saved["search_space"]["Chains.ops"] == "5"
    assert len(saved["drawn"]) > 10
    assert configuration(run).search_space._target_ == "tests.plugins.Chains"
    assert saved["hypernet"] == {"target": "tests.plugins.Scaled", "options": {"hidden": 3, "names": ["a", "b"]}}
    loaded = load_hypernet(RunFolder(run).hypernet(0), SPACE, DIGITS.specification())
    assert isinstance(loaded.weights, Scaled)
    assert loaded.finished


def test_scores_are_of_ones_own_policy(run: Path) -> None:
    architectures = RunFolder(run).read_architectures()
    for row in scored(run)[:2]:
        architecture = architectures[row.fingerprint]
        assert row.val_loss == pytest.approx(by_hand(run, Halved(0.25), architecture), rel=1e-5)
        assert row.val_loss != pytest.approx(by_hand(run, RecalibratedStatistics(), architecture), rel=1e-3)


def test_the_table_and_the_shortlist_follow_ones_own_key(run: Path) -> None:
    rows = scored(run)
    assert [row.smash_score for row in rows] == sorted(row.smash_score for row in rows)
    assert [row.smash_score for row in rows] == Smallest()(
        [CandidateMetrics(row.val_error, row.val_loss, row.params) for row in rows]
    )
    assert [row.val_loss for row in rows] != sorted(row.val_loss for row in rows), "else this would show nothing"
    trained = read_retrained(RunFolder(run))
    shortlist = set(trained["fingerprint"][trained["shortlist"] == 1])
    families = [row.fingerprint if row.strategy == "random" else row.parent for row in rows]
    first = next(place for place, family in enumerate(families) if family != families[0])
    assert shortlist == {rows[0].fingerprint, rows[first].fingerprint}
    pool = [row.fingerprint for row in rows if row.strategy == "random"]
    stratified = set(trained["fingerprint"][trained["stratified"] == 1])
    assert stratified == {pool[int((part + 0.5) * 9 / 5)] for part in range(5)}
    # Proposals are of ones own strategy, and follow the key.
    assert sorted(row.strategy for row in rows) == ["from_the_worst"] * 2 + ["random"] * 9
    assert {row.parent for row in rows if row.strategy == "from_the_worst"} == {pool[-1]}


def test_ones_own_baseline_is_compared(run: Path) -> None:
    architectures = RunFolder(run).read_architectures()
    table = read_table(run / "baselines.csv", BASELINES)
    table = table[table["baseline"] == "dilation"]
    assert set(table["fingerprint"]) == set(read_retrained(RunFolder(run))["fingerprint"])
    for name, prediction in zip(table["fingerprint"], table["prediction"], strict=True):
        assert prediction == Dilation(0.5).predict(architectures[name], None)  # type: ignore[arg-type]
    assert "dilation" in json.loads((run / "correlation.json").read_text())["comparison"]["predictors"]
    assert "dilation" in (run / "report.html").read_text()


@pytest.mark.slow
def test_later_stages_know_the_plugins(run: Path, tmp_path: Path, no_report: None) -> None:
    known = (f"--config-dir={run.parent / 'mine'}", "trust=true")
    more = ["++ranking.strategies.worst.count=3", f"hydra.run.dir={tmp_path / 'again'}", "logger=none"]
    assert smash(tmp_path, *known, "task=rank", f"checkpoint={run}", *more).well
    again, before = ({row.fingerprint: row.val_loss for row in scored(folder)} for folder in (tmp_path / "again", run))
    assert len(again) == 12
    assert before.items() < again.items()
    files = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert smash(tmp_path, *known, f"resume={run}").well
    changed = [path.name for path, content in files.items() if path.read_bytes() != content]
    assert not [name for name in changed if name.endswith((".csv", ".json", ".jsonl", ".ckpt"))]


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ("baselines.baselines.depth={_target_: tests.plugins.NotANumber}", ["baseline depth", "the prediction is NaN"]),
        ("+baselines.baselines.mine={_target_: tests.plugins.Smallest}", ["baselines.mine must be a Baseline"]),
        ("+baselines.baselines.mine={_target_: tests.plugins.Dilation}", ["Dilation", "missing", "weight"]),
        ("hypernet.hidden=0", ["hypernet.hidden must be at least 1, got 0"]),
    ],
)
def test_an_error_in_a_plugin_is_one_line(run: Path, tmp_path: Path, options: str, parts: list[str]) -> None:
    place = [f"checkpoint={run}", f"hydra.run.dir={tmp_path / 'again'}", "logger=none", "trust=true"]
    ended = smash(tmp_path, f"--config-dir={run.parent / 'mine'}", "task=baselines", *place, "hypernet=scaled", options)
    assert str(ended.error).startswith("error: ")
    for part in parts:
        assert part in ended.error.splitlines()[0]
