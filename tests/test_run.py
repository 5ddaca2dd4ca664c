"""The command line: a whole run and its files, each task on its result, wrong options, several processes."""

import json
import os
import runpy
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import torch.nn.functional as F
import yaml

from smash_lightning.architecture import Architecture, cost
from smash_lightning.configuration.build import default_configuration, instantiate
from smash_lightning.evaluation.tables import BASELINES, hypernet_columns, read_ranking, read_retrained, read_table
from smash_lightning.network import StandaloneNetwork
from smash_lightning.run_folder import RunFolder
from smash_lightning.search_space.presets import densenet
from tests import timeless
from tests.command_line import TINY, Ended, configuration, digest, end, process, smash, value

CHEAP = ["synflow", "snip", "gradient_norm", "jacobian_covariance", "naswot", "depth", "random_score"]
EXPENSIVE = ["early_stopping", "weight_sharing", "unconditional", "untrained"]
DIGITS = instantiate(default_configuration().dataset, "dataset")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Ended]:
    """A whole run, with a callback that notes which trainings it joins."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    callback = f"+callbacks.mine={{_target_: tests.plugins.Noted, path: {folder.parent}/noted.txt, name: group}}"
    ended = smash(folder.parent, *TINY, callback, f"hydra.run.dir={folder}")
    assert ended.well
    return folder, ended


@pytest.fixture
def whole(run: tuple[Path, Ended]) -> Iterator[Path]:
    """The folder of a whole run, which no later run may change."""
    folder = run[0]
    before = digest(folder)
    yield folder
    assert digest(folder) == before


def ranking(folder: Path) -> pd.DataFrame:
    return read_ranking(RunFolder(folder))


def retrained(folder: Path) -> pd.DataFrame:
    return read_retrained(RunFolder(folder))


def baselines(folder: Path) -> pd.DataFrame:
    return read_table(folder / "baselines.csv", BASELINES)


def correlation(folder: Path) -> Any:
    return json.loads((folder / "correlation.json").read_text())


def saved(path: Path) -> Any:
    return torch.load(path, weights_only=True)


# --- the whole run ---


def test_a_run_has_the_files_of_the_contract_and_prints_its_folder_last(run: tuple[Path, Ended]) -> None:
    folder, ended = run
    names = "config.yaml data.json architectures.jsonl ranking.csv retrained.csv baselines.csv settling.csv result.json"
    pictures = "correlation.png baselines.png pareto.png settling.png architecture.svg report.html"
    for name in [*names.split(), *pictures.split(), "correlation.json"]:
        assert (folder / name).stat().st_size > 0, name
    assert not (folder / ".lock").exists()
    assert ended.folder == folder
    rho = correlation(folder)["loss"]["scores"]["smash_score"]["spearman"]
    assert value(folder) == (rho and rho["value"])
    assert configuration(folder).source_run is None
    page = (folder / "report.html").read_text()
    assert ranking(folder).fingerprint[0] in page


def test_checkpoints_load_without_executing_anything(whole: Path) -> None:
    loaded = {path.name: saved(path) for path in (whole / "checkpoints").glob("*.ckpt")}
    sources = {name: checkpoint for name, checkpoint in loaded.items() if "smash" in checkpoint}
    classes = {
        "hypernet": configuration(whole).hypernet._target_.split(".")[-1],
        "weight_sharing": "SharedWeights",
        "unconditional": "UnconditionalHyperNet",
    }
    found = {name: checkpoint["smash"]["hypernet"]["target"].split(".")[-1] for name, checkpoint in sources.items()}
    assert found == {f"{name}{index}.ckpt": kind for name, kind in classes.items() for index in range(2)}
    assert all(checkpoint["smash"]["finished"] for checkpoint in sources.values())
    networks = {name: checkpoint for name, checkpoint in loaded.items() if name not in sources}
    assert sorted(networks) == sorted(f"{row.fingerprint}-{row.seed}.ckpt" for row in retrained(whole).itertuples())
    for name, checkpoint in networks.items():
        assert name.startswith(Architecture.from_json(checkpoint["architecture"]).fingerprint)


def test_the_ranking_is_complete_and_best_first(whole: Path) -> None:
    rows = ranking(whole)
    assert rows.strategy.value_counts().to_dict() == {"random": 14, "markov": 3, "perturb": 3}
    assert pd.read_csv(whole / "ranking.csv").smash_score.is_monotonic_increasing
    architectures = RunFolder(whole).read_architectures()
    assert rows.fingerprint.is_unique
    assert len(rows) == len(architectures)
    assert hypernet_columns(rows) == ["val_loss_0", "val_loss_1"]
    assert rows[["val_loss_0", "val_loss_1"]].mean(axis=1).to_list() == pytest.approx(rows.val_loss.to_list(), rel=1e-9)
    assert set(rows.images) == {500}
    trained = {name for path in RunFolder(whole).hypernets() for name in saved(path)["smash"]["drawn"]}
    assert len(trained) > 20
    assert not trained & {*rows.fingerprint}, "what is ranked was never trained"
    for row in rows.itertuples():
        size = cost(architectures[row.fingerprint], DIGITS.image_spec)
        assert (row.params, row.macs, row.ops) == (size.params, size.macs, size.ops)
        assert (row.parent in architectures) == (row.strategy != "random")


def test_trainings_are_as_planned(whole: Path) -> None:
    rows, best = retrained(whole), ranking(whole).fingerprint[0]
    groups = rows.drop_duplicates("fingerprint").set_index("fingerprint")
    assert groups[["shortlist", "stratified", "random"]].sum().to_list() == [2, 5, 1]
    assert groups.shortlist[best] == 1
    assert {*rows.fingerprint} <= {*ranking(whole).fingerprint}
    assert sorted(zip(rows.fingerprint, rows.seed, strict=True)) == [
        (name, seed) for name in sorted(groups.index) for seed in (0, 1)
    ]
    assert {*zip(rows.epochs, rows.failure, strict=True)} == {(1, "")}


def test_every_baseline_is_computed_and_compared(whole: Path) -> None:
    rows = baselines(whole)
    wanted = {(baseline, name) for baseline in (*CHEAP, *EXPENSIVE) for name in retrained(whole).fingerprint}
    assert {*zip(rows.baseline, rows.fingerprint, strict=True)} == wanted
    assert len(rows) == len(wanted)
    assert (rows.seconds > 0).all()
    assert {*rows.baseline[rows.training_seconds > 0]} == {"weight_sharing", "unconditional"}
    predictors = correlation(whole)["comparison"]["predictors"]
    assert {*CHEAP, *EXPENSIVE, "params", "macs", "ops", "smash_score+params"} < {*predictors}
    spent = [saved(path)["smash"]["seconds"] for path in RunFolder(whole).hypernets()]
    assert predictors["smash_score"]["training_seconds"] == pytest.approx(sum(spent))


def test_callbacks_join_the_search_and_the_standalone_trainings(run: tuple[Path, Ended]) -> None:
    lines = (run[0].parent / "noted.txt").read_text().split()
    # Two HyperNets, two by weight sharing, two unconditional ones; the seeds of an architecture are one training.
    trainings = [*["HyperNetModule"] * 6, *["RetrainModule"] * retrained(run[0])["fingerprint"].nunique()]
    assert sorted(lines) == sorted(f"group-1-{module}" for module in trainings)


# --- each task alone ---


def alone(task: str, source: Path, folder: Path, *more: str) -> Ended:
    place = (f"task={task}", f"checkpoint={source}", f"hydra.run.dir={folder}", "logger=none", "trust=true")
    ended = smash(folder.parent, *place, *more)
    assert ended.well
    assert ended.folder == folder
    return ended


def test_a_ranking_is_the_same_again_and_is_continued_elsewhere_after_its_source_moved(
    whole: Path, tmp_path: Path
) -> None:
    """As a job of a sweep over seeds, which share the data."""
    first, moved, elsewhere = (tmp_path / name for name in ("first", "moved", "elsewhere"))
    again, other = (tmp_path / "sweep" / name for name in "01")
    shutil.copytree(whole, first)
    elsewhere.mkdir()
    sweep = ("-m", "task=rank", "checkpoint=first", "hydra.sweep.dir=sweep", "logger=none", "trust=true", "seed=0,1")
    assert smash(tmp_path, *sweep).well
    assert timeless.table(again / "ranking.csv") == timeless.table(whole / "ranking.csv")
    assert (again / "architectures.jsonl").read_text() == (whole / "architectures.jsonl").read_text()
    assert not {*ranking(again).fingerprint} & {*ranking(other).fingerprint}
    assert RunFolder(again).read_data() == RunFolder(other).read_data()
    taken = configuration(again)
    assert taken.search_space == configuration(whole).search_space
    assert (taken.search_space.max_ops, taken.workers) == (4, 1)
    assert taken.checkpoint == taken.source_run == str(first)
    before = digest(again)
    # The place of data sets may have changed meanwhile.
    resume = ("resume=../sweep/0", "trust=true")
    assert smash(elsewhere, *resume, "data_folder=there", "cache_folder=there").well
    assert digest(again) == before
    first.rename(moved)
    assert f"there is no HyperNet in {first}" in smash(elsewhere, *resume).error
    assert smash(elsewhere, *resume, "checkpoint=../moved").well
    assert smash(tmp_path, "resume=sweep/0", "trust=true").well
    config = configuration(again)
    assert (config.checkpoint, config.source_run) == (str(moved), str(moved))
    assert timeless.table(again / "ranking.csv") == timeless.table(whole / "ranking.csv")


def test_ranking_with_one_hypernet_and_other_counts(whole: Path, tmp_path: Path) -> None:
    more = ["ranking.strategies.random.count=9", "ranking.strategies.markov.count=0"]
    alone("rank", whole / "checkpoints" / "hypernet1.ckpt", tmp_path / "one", *more)
    rows, both = ranking(tmp_path / "one"), ranking(whole).set_index("fingerprint")
    assert rows.strategy.value_counts().to_dict() == {"random": 9, "perturb": 3}
    common = rows[rows.fingerprint.isin(both.index)]
    assert len(common) >= 5
    assert common.val_loss_0.to_list() == both.val_loss_1[common.fingerprint].to_list()


def test_a_sweep_over_ranks_is_collected(whole: Path, tmp_path: Path, no_report: None) -> None:
    place = ("task=retrain", f"checkpoint={whole}", "hydra.sweep.dir=sweep", "logger=none", "trust=true")
    assert smash(tmp_path, "-m", *place, "retrain.seeds=1", "retrain.rank=1,4,7,9,12").well
    rows, pool = retrained(tmp_path / "sweep" / "3"), ranking(whole).query("strategy == 'random'").fingerprint
    assert rows[["fingerprint", "seed", "stratified", "epochs", "failure"]].values.tolist() == [
        [pool.iloc[9], 0, 1, 1, ""]
    ]
    assert ranking(tmp_path / "sweep" / "3").equals(ranking(whole))
    collected, sweep = tmp_path / "collected", tmp_path / "sweep"
    ended = alone("correlate", sweep, collected)
    assert f"Collected 5 of 5 jobs of {sweep}: 5 trainings of 5 architectures." in ended.out
    config = configuration(collected)
    assert (config.retrain.rank, config.search_space.max_ops) == (None, 4)
    # The HyperNets are two runs away.
    assert (collected / "settling.csv").read_bytes() == (whole / "settling.csv").read_bytes()
    seconds = correlation(collected)["comparison"]["predictors"]["smash_score"]["training_seconds"]
    assert seconds == pytest.approx(sum(saved(path)["smash"]["seconds"] for path in RunFolder(whole).hypernets()))


def test_baselines_and_correlations_again_give_the_same_figures(whole: Path, tmp_path: Path) -> None:
    more = ["baselines=cheap", "baselines.baselines.snip=null", "baselines.one_shot=[untrained]"]
    alone("baselines", whole, tmp_path / "some", *more)
    kept = {*CHEAP, "untrained"} - {"snip"}
    keys = ["baseline", "fingerprint"]
    found, before = (baselines(each).set_index(keys).prediction.to_dict() for each in (tmp_path / "some", whole))
    assert {name for name, _ in found} == kept
    assert found == {key: prediction for key, prediction in before.items() if key[0] in kept}
    for name in ("ranking.csv", "retrained.csv"):
        assert (tmp_path / "some" / name).read_bytes() == (whole / name).read_bytes()
    ended = alone("correlate", whole, tmp_path / "again")
    for name in ("correlation.json", "architecture.svg"):
        assert (tmp_path / "again" / name).read_text() == (whole / name).read_text()
    assert (tmp_path / "again" / "report.html").exists()
    assert "Spearman" in ended.out


def test_drawing_a_preset_a_file_and_the_best(whole: Path, tmp_path: Path) -> None:
    drawn = {}
    for name, more in {
        "preset": ["task.preset=densenet"],
        "file": [f"task.architecture={tmp_path}/preset/architecture.json"],
        "best": [f"checkpoint={whole}", "trust=true", "search=paper", "retrain.shortlist=1"],
    }.items():
        assert smash(tmp_path, "task=draw", "logger=none", f"hydra.run.dir={tmp_path / name}", *more).well
        assert "<svg" in (tmp_path / name / "architecture.svg").read_text()
        drawn[name] = Architecture.from_json((tmp_path / name / "architecture.json").read_text())
        assert (tmp_path / name / "encoding.png").exists() == (name == "best")
    assert drawn["preset"] == drawn["file"] == densenet()
    assert drawn["best"].fingerprint == ranking(whole).fingerprint[0]
    # A group that is given comes without values that the earlier run had in it.
    config = configuration(tmp_path / "best")
    assert (config.search.epochs, config.search.hypernets) == (100, 1)
    assert (config.retrain.shortlist, config.retrain.stratified) == (1, 5)
    folders = {smash(tmp_path, "task=draw", "task.preset=resnet", "logger=none").folder for _ in range(2)}
    assert len(folders) == 2, "two runs of one second have two folders"


def test_the_exported_network_is_the_one_that_was_measured(whole: Path, tmp_path: Path) -> None:
    alone("export", whole, tmp_path / "out", "task.formats=[python]")
    architecture = Architecture.from_json((tmp_path / "out" / "architecture.json").read_text())
    rows = retrained(whole)
    row = rows[rows.fingerprint == architecture.fingerprint].sort_values("seed").iloc[0]
    state = saved(RunFolder(whole).network(row.fingerprint, row.seed))["state_dict"]
    network = StandaloneNetwork(architecture, DIGITS.image_spec).eval()
    network.load_state_dict({name.removeprefix("network."): tensor for name, tensor in state.items()})
    test = DIGITS.normalised(DIGITS.test)
    exported = runpy.run_path(str(tmp_path / "out" / "network.py"))["load"]()
    with torch.no_grad():
        expected, found = network(test.images), exported(DIGITS.test.images)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert F.cross_entropy(expected.double(), test.labels).item() == pytest.approx(row.true_loss, rel=1e-5)
    best = next(name for name in ranking(whole).fingerprint if name in {*rows.fingerprint})
    assert architecture.fingerprint == best, "the best by score: choosing by the test images would spoil the test"
    # Another task has other options: those of the earlier one are not kept.
    alone("draw", tmp_path / "out", tmp_path / "picture", "task.preset=resnet")
    assert configuration(tmp_path / "picture").search_space.max_ops == 4


# --- wrong options ---

VERSION_01 = "was written by version 0.1, whose runs this version does not read"
BAD: dict[str, str] = {  # a command line, and parts of the message
    "dataset=imagenet": "dataset=imagenet|digits",
    "task=serch": "task=serch|did you mean search?|correlate",
    "hypernet.widht=3": "hypernet.widht|did you mean hypernet.width?|--help",
    "retrian.shortlist=3": "retrian|did you mean retrain?",
    "trainer.max_epochs=3": "trainer.max_epochs has no effect here|search.epochs=N",
    "trainer.precision=bf16-true": "trainer.precision=bf16-true|use bf16-mixed",
    "seed": "seed cannot be read|NAME=VALUE",
    "task=draw": "task.preset|checkpoint=FOLDER",
    "task=draw task.architecture=bad.json": "bad.json|Invalid JSON",
    "task=rank checkpoint={whole} search_space=smashv2_tiny": "{whole}/checkpoints/hypernet0.ckpt|another search space",
    "task=rank checkpoint=cut.ckpt": "cut.ckpt|truncated",
    "task=rank checkpoint={network}": "{network}|something else",
    "task=rank checkpoint=no.ckpt": "checkpoint=no.ckpt|nothing at this path",
    "task=rank": "no HyperNet|task=search|checkpoint=PATH",
    "task=export": "nothing was retrained|checkpoint=FOLDER",
    "task=export checkpoint={whole} task.fingerprint=abc": "abc was not retrained|{whole}",
    "task=gradient task.pool=0": "task.pool must be greater than 0, got 0",
    "+hypernet.kind=shared": "hypernet|'kind'",
    "evaluation.metric=speed": "evaluation.metric must be 'correlation', 'best_true_loss' or 'best_true_error'",
    "dataset=folder": "dataset.root has no value|dataset.root=...",
    "hydra.run.dir=bad.json/run": "bad.json/run|hydra.run.dir=FOLDER",
    "resume=0": "resume=0 holds no config.yaml",
    "resume={whole} retrain.shortlist=3": "{whole}|retrain.shortlist was 2, now 3|start anew",
    "resume={whole} dataset.trian=3": "there is no option dataset.trian|did you mean dataset.train?",
    "resume={whole} checkpoint=cut.ckpt": "checkpoint was None, now|cut.ckpt",
    "hydra.run.dir={whole}": "{whole} already holds a run|resume={whole}",
    "trainer=ddp_cpu workers=3": "workers=3|trainer.devices=2|leave workers out",
    "+trainer.max_epochs=3": "trainer.max_epochs|use search.epochs=N or retrain.epochs=N",
    "trainer.limit_train_batches=0.1": "trainer.limit_train_batches|use dataset.train=N",
    "+logger.mine=1": "logger.mine is no section with a _target_, got 1",
    "retrain._target_=lightning.Trainer": "retrain: Trainer.__init__() got an unexpected keyword argument",
    "search=null": "must be a string or a list. Got NoneType, in|search=null",
    f"seed={'9' * 5000}": "(4300 digits)|seed",
    "~ranking": "there is no option ranking",
    "~search_space.min_ops": "search_space: missing a required argument: 'min_ops'",
    "++trainer._partial_=0": "trainer: Instantiation: _partial_ flag must be a bool",
    "seed=true": "seed must be",
    f"seed={2**32}": "seed must be",
    "dataset.stem_stride=0": "stem_stride must be",
    "workers=1000000": "workers must be",
    "hparams_search=correlation": "hparams_search=correlation is a sweep: add -m",
    "hparams_search=[6]": "in |hparams_search=[6]",
    "hypernet.width=32,64": "Ambiguous value for argument 'hypernet.width=32,64'|--multirun",
    "task=rank checkpoint=0": "no HyperNet",
    "resume=7": "resume=7: there is nothing at this path",
    "resume=old": f"old {VERSION_01}",
    "checkpoint=old": f"old {VERSION_01}",
}


@pytest.mark.parametrize("line", BAD, ids=lambda line: line[:60])
def test_wrong_options_get_one_clear_line(whole: Path, tmp_path: Path, line: str) -> None:
    (tmp_path / "bad.json").write_text('{"format": 1, "blocks": [')
    (tmp_path / "cut.ckpt").write_bytes((whole / "checkpoints" / "hypernet0.ckpt").read_bytes()[:5000])
    (tmp_path / "0").mkdir()
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "config.yaml").write_text("overrides: [seed=0]\nseed: 0\n")
    places = {"whole": whole, "network": next((whole / "checkpoints").glob("*-0.ckpt"))}
    words = [line] if "{{" in line else line.split()
    arguments, expected = ([text.format(**places) for text in texts] for texts in (words, BAD[line].split("|")))
    options = ["trust=true"] if any(argument.startswith(("checkpoint=", "resume=")) for argument in arguments) else TINY
    ended = smash(tmp_path, *options, "logger=none", *arguments)
    assert isinstance(ended.error, str), "it ended well"
    assert ended.error.startswith("error: ")
    assert ended.error.isprintable(), "it is no single line"
    for part in expected:
        assert part in ended.error
    assert not (tmp_path / "missing").exists()


def test_options_that_only_an_earlier_version_had(tmp_path: Path) -> None:
    assert smash(tmp_path, "task=draw", "task.preset=resnet", "logger=none", "hydra.run.dir=old").well
    path, commands = (
        tmp_path / "old" / "config.yaml",
        (["resume=old"], ["checkpoint=old", "task=draw", "task.preset=wrn"]),
    )
    as_it_is = path.read_text()
    path.write_text(as_it_is.replace("overrides:\n", "overrides:\n- gpu=free\n"))
    for command, folder in zip(commands, ("old", tmp_path / "old"), strict=True):
        error = str(smash(tmp_path, *command).error)
        message = f"of the overrides in {folder}/config.yaml: there is no option gpu: engine=ray shares GPUs, or leave"
        assert message in error
        assert error.endswith("Remove there what this version does not have")
    without_library = yaml.safe_load(as_it_is)
    del without_library["evaluation"]["library"]
    path.write_text(f"{yaml.safe_dump(without_library)}gpu: free\n")
    assert all(smash(tmp_path, *command).well for command in commands)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="an administrator may write anywhere")
def test_a_folder_that_is_read_only(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o500)
    ended = smash(tmp_path, "task=draw", "task.preset=resnet", "logger=none", "hydra.run.dir=closed/run")
    assert str(ended.error).startswith("error: ")
    assert "closed" in str(ended.error)


# --- debug, seeds and processes ---


def test_a_profile_is_left_in_the_run_folder(tmp_path: Path) -> None:
    ended = smash(tmp_path, "debug=profile", "search_space.max_ops=3")
    assert ended.well
    assert "aten::" in next((tmp_path / ended.folder / "profile").glob("*.txt")).read_text()
    assert list((tmp_path / ended.folder / "profile").glob("*.trace.json"))


@pytest.mark.slow
def test_the_command_itself(tmp_path: Path) -> None:
    folder = tmp_path / smash(tmp_path, "task=draw", "task.preset=densenet", "logger=none").folder
    assert folder.is_relative_to(tmp_path / "outputs")
    assert {path.name for path in folder.iterdir()} == {
        *("architecture.svg", "architecture.json", "config.yaml", "result.json")
    }
    code, out, error = end(process(tmp_path, "--help", by=("-X", "importtime")))
    assert "python run.py task=rank checkpoint=FOLDER" in out
    assert code == 0
    assert "smash_lightning.cli" in error
    assert " torch\n" not in error, "neither help nor a wrong option waits for torch"
