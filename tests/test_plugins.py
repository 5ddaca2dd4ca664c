"""The plug-ins of docs/howto in the files and commands that are shown there: one of each kind, together in one run."""

import json
import random
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from smash_lightning.architecture import Architecture
from smash_lightning.configuration.build import instantiate
from smash_lightning.encoding import Encoding
from smash_lightning.evaluation.tables import BASELINES, read_ranking, read_retrained, read_table
from smash_lightning.hypernet import load_hypernet
from smash_lightning.scoring import BatchNormPolicy, RecalibratedStatistics, Scorer, ScoringData
from smash_lightning.scoring.smash_score import CandidateMetrics
from smash_lightning.stages import RunFolder
from tests.command_line import ROOT, configuration, smash
from tests.test_docs import examples

PAGES = [
    path
    for path in sorted((ROOT / "docs" / "howto").glob("*.md"))
    if re.search(r"_target_[=:] ?mine\.", path.read_text())
]
FILE = re.compile(r"`(my_conf/\w+/\w+\.yaml)`:\n```yaml\n(.*?)```", re.DOTALL)
COMMAND = re.compile(r"^python run.py (.*(?:mine\.|--config-dir).*)$", re.MULTILINE)
QUICK = [
    "workers=1",
    "logger=none",
    "dataset.source.count=800",
    "search.epochs=2",
    "search.hypernets=1",
    "ranking.size_tolerance=null",
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


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a whole run that is made of plug-ins."""
    place = tmp_path_factory.mktemp("plugins")
    (place / "mine.py").write_text("\n".join(example for page in PAGES for example in examples(page)))
    commands = []
    for text in map(Path.read_text, PAGES):
        commands += [shlex.split(line) for line in COMMAND.findall(text)]
        for name, content in FILE.findall(text):
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_text(content)
    # The HyperNet is shown in two ways, of which this is the one with a file; --config-dir must be in front.
    mine = sorted({word for words in commands if "hypernet=shared" not in words for word in words})
    assert len(mine) == 1 + 3 + 5, "--config-dir, three files, and five options of the others"
    assert smash(place, *sorted(mine, key=lambda word: word[:2] != "--"), *QUICK, "hydra.run.dir=run").well
    yield place / "run"
    del sys.modules["mine"]


def scored(folder: Path) -> list[Any]:
    return list(read_ranking(RunFolder(folder)).itertuples(index=False))


def mine(name: str, *arguments: Any, **options: Any) -> Any:
    return getattr(sys.modules["mine"], name)(*arguments, **options)


def data_and_space(folder: Path) -> tuple[Any, Any]:
    data = instantiate(configuration(folder).dataset, "dataset")
    data.setup()
    return data, mine("Chains", data.image_spec, width=8, ops=6)


def by_hand(folder: Path, policy: BatchNormPolicy, architecture: Architecture) -> float:
    """The validation loss with another scorer than the run's."""
    data, space = data_and_space(folder)
    hypernet = load_hypernet(RunFolder(folder).hypernet(0), space, data.specification())
    validation = data.normalised(data.validation)
    scoring_data = ScoringData(validation.images, validation.labels, data.recalibration_images(), (), 500)
    return Scorer([hypernet], scoring_data, policy=policy, seed=0)(architecture).val_loss


def test_data_architectures_and_weights_are_of_ones_own_classes(run: Path) -> None:
    (data, space), architectures = data_and_space(run), RunFolder(run).read_architectures()
    assert RunFolder(run).read_data()["classes"] == ["horizontal", "vertical"]
    assert len(architectures) == 11
    encoding, rng = Encoding(space.limits, 1), random.Random(0)
    for architecture in architectures.values():
        assert space.contains(architecture)
        assert space.contains(space.perturb(architecture, rng, 0.5))
        assert encoding.decode(encoding.encode(architecture)) == architecture
    saved = torch.load(RunFolder(run).hypernet(0), weights_only=True)["smash"]
    assert saved["search_space"]["Chains.ops"] == "6"
    assert len(saved["drawn"]) > 10
    assert configuration(run).search_space._target_ == "mine.Chains"
    assert saved["hypernet"] == {"target": "mine.GainHyperNet", "options": {"hidden": 32}}
    loaded = load_hypernet(RunFolder(run).hypernet(0), space, data.specification())
    assert type(loaded.weights) is sys.modules["mine"].GainHyperNet
    assert loaded.finished


def test_scores_are_of_ones_own_policy(run: Path) -> None:
    architectures = RunFolder(run).read_architectures()
    for row in scored(run)[:2]:
        architecture = architectures[row.fingerprint]
        assert row.val_loss == pytest.approx(by_hand(run, mine("Scaled", 0.25), architecture), rel=1e-5)
        assert row.val_loss != pytest.approx(by_hand(run, RecalibratedStatistics(), architecture), rel=1e-3)


def test_the_table_and_the_shortlist_follow_ones_own_key(run: Path) -> None:
    rows = scored(run)
    assert [row.smash_score for row in rows] == sorted(row.smash_score for row in rows)
    assert [row.smash_score for row in rows] == mine("Smallest")(
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
        assert prediction == mine("Dilation", 0.5).predict(architectures[name], None)
    assert "dilation" in json.loads((run / "correlation.json").read_text())["comparison"]["predictors"]
    assert "dilation" in (run / "report.html").read_text()


@pytest.mark.slow
def test_later_stages_know_the_plugins(run: Path, tmp_path: Path, no_report: None) -> None:
    known = (f"--config-dir={run.parent / 'my_conf'}", "trust=true")
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
        ("+baselines.baselines.mine={_target_: mine.Smallest}", ["baselines.mine must be a Baseline"]),
        ("+baselines.baselines.mine={_target_: mine.Dilation}", ["Dilation", "missing", "weight"]),
        ("hypernet.hidden=x", ["hypernet.hidden must be a valid integer, got 'x'"]),
    ],
)
def test_an_error_in_a_plugin_is_one_line(run: Path, tmp_path: Path, options: str, parts: list[str]) -> None:
    place = [f"checkpoint={run}", f"hydra.run.dir={tmp_path / 'again'}", "logger=none", "trust=true"]
    ended = smash(
        tmp_path, f"--config-dir={run.parent / 'my_conf'}", "task=baselines", *place, "hypernet=gain", options
    )
    assert str(ended.error).startswith("error: ")
    for part in parts:
        assert part in ended.error.splitlines()[0]
