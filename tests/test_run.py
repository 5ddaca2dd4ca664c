"""The door: a whole run and what it leaves, each task on its result, bad input, sweeps, several processes."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hydra.utils import instantiate

from smash_lightning.architecture import Architecture, cost
from smash_lightning.data import DataModule, Digits
from smash_lightning.evaluation.tables import BASELINES as BASELINE_TABLE
from smash_lightning.evaluation.tables import GROUPS, read_ranking, read_retrained, read_table
from smash_lightning.network import StandaloneNetwork
from smash_lightning.search_space.presets import densenet
from smash_lightning.stages import RunFolder
from tests import timeless
from tests.command_line import ROOT, TINY, Ended, changed, configuration, digest, end, process, smash, value

BASELINES = ["synflow", "snip", "gradient_norm", "jacobian_covariance", "naswot", "depth", "random_score"]
EXPENSIVE_RIVALS = ["early_stopping", "weight_sharing", "unconditional", "untrained"]
DIGITS = DataModule(
    name="digits",
    source=Digits(697),
    validation=500,
    train=None,
    batch_size=64,
    eval_batch_size=500,
    recalibration=512,
    stem_stride=1,
    split_seed=0,
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Ended]:
    folder = tmp_path_factory.mktemp("whole") / "run"
    ended = smash(folder.parent, *TINY, f"hydra.run.dir={folder}")
    assert ended.well
    return folder, ended


@pytest.fixture
def whole(run: tuple[Path, Ended]) -> Iterator[Path]:
    """The folder of a whole run, which no later run may change."""
    folder = run[0]
    before = digest(folder)
    yield folder
    assert digest(folder) == before


def scored(folder: Path) -> list[Any]:
    return list(read_ranking(RunFolder(folder)).itertuples(index=False))


def retrained(folder: Path) -> list[Any]:
    return list(read_retrained(RunFolder(folder)).itertuples(index=False))


def predicted(folder: Path) -> list[Any]:
    return list(read_table(folder / "baselines.csv", BASELINE_TABLE).itertuples(index=False))


# --- the whole run ---


def test_a_run_leaves_the_files_that_the_readme_names(whole: Path) -> None:
    table = (ROOT / "README.md").read_text().split("| file | what |")[1].split("\n\n")[0]
    names = [
        name for row in table.splitlines() for name in re.findall(r"`([^`]+)`", row.split("|")[1:2][0] if row else "")
    ]
    assert len(names) >= 10
    for name in names:
        path = whole / name
        assert path.is_dir() if name.endswith("/") else path.stat().st_size > 0, name


def test_it_prints_its_folder_last_and_returns_the_coefficient(run: tuple[Path, Ended]) -> None:
    folder, ended = run
    assert ended.out.splitlines()[-1] == str(folder)
    rho = json.loads((folder / "correlation.json").read_text())["loss"]["scores"]["smash_score"]["spearman"]
    assert value(folder) == (rho and rho["value"])


def test_checkpoints_load_without_executing_anything(whole: Path) -> None:
    loaded = {path.name: torch.load(path, weights_only=True) for path in (whole / "checkpoints").glob("*.ckpt")}
    sources = {name: checkpoint for name, checkpoint in loaded.items() if "smash" in checkpoint}
    kinds = {
        "hypernet": configuration(whole).hypernet._target_.split(".")[-1],
        "weight_sharing": "SharedWeights",
        "unconditional": "UnconditionalHyperNet",
    }
    found = {name: checkpoint["smash"]["hypernet"]["target"].split(".")[-1] for name, checkpoint in sources.items()}
    assert found == {f"{name}{index}.ckpt": kind for name, kind in kinds.items() for index in range(2)}
    assert all(checkpoint["smash"]["finished"] for checkpoint in sources.values())
    networks = {name: checkpoint for name, checkpoint in loaded.items() if name not in sources}
    assert sorted(networks) == sorted(f"{row.fingerprint}-{row.seed}.ckpt" for row in retrained(whole))
    for name, checkpoint in networks.items():
        assert name.startswith(Architecture.from_json(checkpoint["architecture"]).fingerprint)


def test_the_ranking_is_complete_and_best_first(whole: Path) -> None:
    rows = scored(whole)
    assert sorted(row.strategy for row in rows) == ["markov"] * 3 + ["perturb"] * 3 + ["random"] * 14
    assert [row.smash_score for row in rows] == sorted(row.smash_score for row in rows)
    architectures = RunFolder(whole).read_architectures()
    assert len({row.fingerprint for row in rows}) == len(rows) == len(architectures)
    for row in rows:
        size = cost(architectures[row.fingerprint], DIGITS.image_spec)
        assert (row.params, row.macs, row.ops) == (size.params, size.macs, size.ops)
        assert (row.val_loss_0 + row.val_loss_1) / 2 == pytest.approx(row.val_loss, rel=1e-9)
        assert row.images == 500
        assert (row.parent in architectures) == (row.strategy != "random")


def test_what_is_ranked_was_never_trained(whole: Path) -> None:
    names = {row.fingerprint for row in scored(whole)}
    for path in RunFolder(whole).hypernets():
        drawn = torch.load(path, weights_only=True)["smash"]["drawn"]
        assert len(drawn) > 20
        assert not names & set(drawn)


def test_trainings_are_as_planned(whole: Path) -> None:
    rows, ranking = retrained(whole), scored(whole)
    assert {row.fingerprint for row in rows} <= {row.fingerprint for row in ranking}
    members = {group: {row.fingerprint for row in rows if getattr(row, group)} for group in GROUPS}
    assert [len(members[group]) for group in GROUPS] == [2, 5, 1, 0]
    assert ranking[0].fingerprint in members["shortlist"]
    names = set().union(*members.values())
    assert sorted((row.fingerprint, row.seed) for row in rows) == sorted((n, seed) for n in names for seed in (0, 1))
    assert {(row.epochs, row.failure) for row in rows} == {(2, "")}


def test_every_rival_is_asked_and_compared(whole: Path) -> None:
    names, rows = {row.fingerprint for row in retrained(whole)}, predicted(whole)
    wanted = [(baseline, name) for baseline in (*BASELINES, *EXPENSIVE_RIVALS) for name in names]
    assert sorted((row.baseline, row.fingerprint) for row in rows) == sorted(wanted)
    for row in rows:
        assert row.seconds > 0
        assert (row.training_seconds > 0) == (row.baseline in ("weight_sharing", "unconditional"))
    predictors = json.loads((whole / "correlation.json").read_text())["comparison"]["predictors"]
    assert {*BASELINES, *EXPENSIVE_RIVALS, "params", "macs", "ops"} < set(predictors)
    spent = [torch.load(path, weights_only=True)["smash"]["seconds"] for path in RunFolder(whole).hypernets()]
    assert predictors["smash_score"]["training_seconds"] == pytest.approx(sum(spent))


def test_the_correlation_never_stands_alone(whole: Path) -> None:
    correlation = json.loads((whole / "correlation.json").read_text())
    representative = {row.fingerprint for row in retrained(whole) if row.stratified or row.random}
    assert correlation["architectures"] == len(representative) == 6
    for truth in ("loss", "error"):
        comparison = correlation[truth]
        coefficients = [*comparison["scores"].values(), *(b["coefficients"] for b in comparison["sizes"].values())]
        assert set(comparison["sizes"]) == {"params", "macs", "ops"}
        estimates = [e for three in coefficients for e in three.values() if e] + [comparison["reliability"]["ceiling"]]
        assert len(estimates) > 9
        assert all(-1 <= e["low"] <= e["value"] <= e["high"] <= 1 for e in estimates)
        assert comparison["shortlist"]["shortlist"] == 2
        assert comparison["shortlist"]["representative"] == 6
    sentences = correlation["verdict"]["sentences"]
    assert sentences
    page = (whole / "report.html").read_text()
    assert scored(whole)[0].fingerprint in page
    assert sentences[0].split(":")[0] in page


# --- each task alone ---


def alone(task: str, source: Path, folder: Path, *more: str) -> Ended:
    ended = smash(
        folder.parent, f"task={task}", f"checkpoint={source}", f"hydra.run.dir={folder}", "logger=none", *more
    )
    assert ended.well
    assert ended.out.splitlines()[-1] == str(folder)
    return ended


def test_ranking_again_gives_the_same_table(whole: Path, tmp_path: Path) -> None:
    alone("rank", whole, tmp_path / "again")
    assert timeless.table(tmp_path / "again" / "ranking.csv") == timeless.table(whole / "ranking.csv")
    assert (tmp_path / "again" / "architectures.jsonl").read_text() == (whole / "architectures.jsonl").read_text()
    taken, earlier = configuration(tmp_path / "again"), configuration(whole)
    assert taken.search_space == earlier.search_space
    assert taken.search_space.max_ops == 4
    assert taken.workers == 1


def test_ranking_with_one_hypernet_and_other_counts(whole: Path, tmp_path: Path) -> None:
    more = ["ranking.strategies.random.count=9", "ranking.strategies.markov.count=0"]
    alone("rank", whole / "checkpoints" / "hypernet1.ckpt", tmp_path / "one", *more)
    rows = {row.fingerprint: row for row in scored(tmp_path / "one")}
    assert sorted(row.strategy for row in rows.values()) == ["perturb"] * 3 + ["random"] * 9
    both = {row.fingerprint: row for row in scored(whole)}
    common = rows.keys() & both.keys()
    assert len(common) >= 5
    for name in common:
        assert rows[name].val_loss_0 == both[name].val_loss_1


def test_retraining_takes_the_ranking_over(whole: Path, tmp_path: Path) -> None:
    alone("retrain", whole, tmp_path / "more", "retrain.seeds=1", "retrain.stratified=2", "retrain.epochs=1")
    rows = retrained(tmp_path / "more")
    assert {(row.seed, row.epochs, row.failure) for row in rows} == {(0, 1, "")}
    assert [sum(getattr(row, group) for row in rows) for group in GROUPS] == [2, 2, 1, 0]
    for name in ("ranking.csv", "architectures.jsonl"):
        assert sorted((tmp_path / "more" / name).read_text().splitlines()) == sorted(
            (whole / name).read_text().splitlines()
        )


def test_asking_rivals_again_gives_the_same_answers(whole: Path, tmp_path: Path) -> None:
    alone(
        "baselines",
        whole,
        tmp_path / "asked",
        "baselines=cheap",
        "baselines.baselines.snip=null",
        "baselines.one_shot=[untrained]",
    )
    kept = [name for name in (*BASELINES, "untrained") if name != "snip"]

    def answers(folder: Path) -> dict[tuple[str, str], float]:
        return {(row.baseline, row.fingerprint): row.prediction for row in predicted(folder) if row.baseline in kept}

    assert answers(tmp_path / "asked") == answers(whole)
    assert {row.baseline for row in predicted(tmp_path / "asked")} == set(kept)
    # What was asked in a folder of its own can be compared there.
    alone("correlate", tmp_path / "asked", tmp_path / "compared")
    predictors = json.loads((tmp_path / "compared" / "correlation.json").read_text())["comparison"]["predictors"]
    assert {*kept, "params"} < set(predictors)


def test_correlating_again_gives_the_same_figures(whole: Path, tmp_path: Path) -> None:
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
        "best": [f"checkpoint={whole}"],
    }.items():
        assert smash(tmp_path, "task=draw", "logger=none", f"hydra.run.dir={tmp_path / name}", *more).well
        assert "<svg" in (tmp_path / name / "architecture.svg").read_text()
        drawn[name] = Architecture.from_json((tmp_path / name / "architecture.json").read_text())
    assert drawn["preset"] == drawn["file"] == densenet()
    assert drawn["best"].fingerprint == scored(whole)[0].fingerprint


def test_the_exported_network_is_the_one_that_was_measured(whole: Path, tmp_path: Path) -> None:
    alone("export", whole, tmp_path / "out")
    architecture = Architecture.from_json((tmp_path / "out" / "architecture.json").read_text())
    row = min((r for r in retrained(whole) if r.fingerprint == architecture.fingerprint), key=lambda r: r.seed)
    checkpoint = torch.load(RunFolder(whole).network(row.fingerprint, row.seed), weights_only=True)
    network = StandaloneNetwork(architecture, DIGITS.image_spec).eval()
    network.load_state_dict({name.removeprefix("network."): value for name, value in checkpoint["state_dict"].items()})
    test = DIGITS.normalised(DIGITS.test)
    program = torch.export.load(tmp_path / "out" / "network.pt2").module()
    with torch.no_grad():
        expected, found = network(test.images), program(DIGITS.test.images.float())
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert F.cross_entropy(expected.double(), test.labels).item() == pytest.approx(row.true_loss, rel=1e-5)
    trained = {r.fingerprint for r in retrained(whole)}
    best = next(row.fingerprint for row in scored(whole) if row.fingerprint in trained)
    assert architecture.fingerprint == best, "the best by score: choosing by the test images would spoil the test"


def test_benchmark_and_a_task_on_its_result(whole: Path, tmp_path: Path) -> None:
    ended = alone("benchmark", whole, tmp_path / "cost", "task.repeats=1", "task.architectures=2")
    rows = json.loads((tmp_path / "cost" / "benchmark.json").read_text())
    assert [(row["phase"], row["n"]) for row in rows] == [("start", 2), ("end", 2)]
    assert all(row["operations_encode"] <= 10 and row["step_over_free"] > 0 for row in rows)
    assert (
        min(row["step_over_free"] for row in rows) <= value(ended.folder) <= max(row["step_over_free"] for row in rows)
    )
    # Another task has other options: those of the earlier one do not follow.
    alone("draw", tmp_path / "cost", tmp_path / "picture", "task.preset=resnet")
    assert configuration(tmp_path / "picture").search_space.max_ops == 4


def test_a_group_that_is_given_comes_without_the_earlier_values(whole: Path, tmp_path: Path) -> None:
    alone("draw", whole, tmp_path / "other", "task.preset=resnet", "search=paper", "retrain.shortlist=1")
    config = configuration(tmp_path / "other")
    assert (config.search.epochs, config.search.hypernets) == (100, 1)
    assert (config.retrain.shortlist, config.retrain.stratified) == (1, 5)


def test_a_stage_is_continued_by_its_folder_alone(whole: Path, tmp_path: Path) -> None:
    alone("rank", whole, tmp_path / "stage", "ranking.strategies.random.count=5")
    before = digest(tmp_path / "stage")
    # Where data sets lie may have changed meanwhile.
    ended = smash(tmp_path, f"resume={tmp_path / 'stage'}", "data_folder=elsewhere", "cache_folder=elsewhere")
    assert ended.well
    assert digest(tmp_path / "stage") == before


def test_two_runs_of_one_moment_have_two_folders(tmp_path: Path) -> None:
    ended = [smash(tmp_path, "task=draw", "task.preset=resnet", "logger=none") for _ in range(3)]
    folders = {run.out.splitlines()[-1] for run in ended if run.well}
    assert len(folders) == 3
    assert all((Path(folder) / "architecture.svg").exists() for folder in folders)


# --- bad input ---

BAD: dict[str, tuple[list[str], list[str]]] = {
    "unknown data set": (["dataset=imagenet"], ["dataset=imagenet", "digits"]),
    "unknown task": (["task=serch"], ["task=serch", "did you mean search?", "correlate"]),
    "unknown option": (["hypernet.widht=3"], ["hypernet.widht", "did you mean hypernet.width?"]),
    "unknown section": (["retrian.shortlist=3"], ["retrian", "did you mean retrain?"]),
    "unknown option of a task": (["task=draw", "task.presett=wrn"], ["task.presett", "did you mean task.preset?"]),
    "no value": (["seed"], ["'seed'", "EQUAL"]),
    "unknown preset": (["task=draw", "task.preset=vgg"], ["task.preset=vgg", "fractalnet"]),
    "nothing to draw": (["task=draw"], ["task.preset", "checkpoint=FOLDER"]),
    "malformed architecture": (["task=draw", "task.architecture=bad.json"], ["bad.json", "not valid JSON"]),
    "missing architecture": (["task=draw", "task.architecture=no.json"], ["no.json", "No such file"]),
    "another search space": (
        ["task=rank", "checkpoint={whole}", "search_space=smashv2_tiny"],
        ["{whole}/checkpoints/hypernet0.ckpt", "another search space", "body was SingleConvolution"],
    ),
    "truncated checkpoint": (["task=rank", "checkpoint=cut.ckpt"], ["cut.ckpt", "truncated"]),
    "checkpoint of a network": (["task=rank", "checkpoint={network}"], ["{network}", "something else"]),
    "missing checkpoint": (["task=rank", "checkpoint=no.ckpt"], ["checkpoint=no.ckpt", "nothing at this path"]),
    "no HyperNet": (["task=rank"], ["no HyperNet", "task=search", "checkpoint=PATH"]),
    "no ranking": (["task=retrain"], ["no ranking", "checkpoint=FOLDER"]),
    "no trainings": (["task=export"], ["nothing was retrained", "checkpoint=FOLDER"]),
    "no such network": (
        ["task=export", "checkpoint={whole}", "task.fingerprint=abc"],
        ["abc was not retrained", "{whole}"],
    ),
    "width of zero": (["hypernet.width=0"], ["hypernet.width must be at least 1, got 0"]),
    "seed of letters": (["seed=abc"], ["seed must be a whole number", "'abc'"]),
    "negative seed": (["seed=-1"], ["seed must be a whole number", "-1"]),
    "no workers": (["workers=0"], ["workers must be a whole number of at least 1", "0"]),
    "half an epoch": (["search.epochs=2.5"], ["search.epochs must be a valid integer, got 2.5"]),
    "rate of letters": (["search.learning_rate=fast"], ["search.learning_rate must be a valid number, got 'fast'"]),
    "list for a number": (["retrain.shortlist=[1,2]"], ["retrain.shortlist must be a valid integer, got [1, 2]"]),
    "tolerance of letters": (
        ["ranking.size_tolerance=x"],
        ["ranking.size_tolerance must be a valid number, got 'x'"],
    ),
    "unknown policy": (
        ["ranking.batch_norm._target_=smash_lightning.strategies.Frozen"],
        ["ranking.batch_norm._target_=smash_lightning.strategies.Frozen", "no attribute 'Frozen'"],
    ),
    "module that is not there": (
        ["ranking.smash_score._target_=mine.Key"],
        ["ranking.smash_score._target_=mine.Key", "'mine'"],
    ),
    "key for a policy": (
        ["ranking.batch_norm._target_=smash_lightning.scoring.ValidationLoss"],
        ["ranking.batch_norm must be a BatchNormPolicy", "smash_lightning.scoring.ValidationLoss is none"],
    ),
    "baseline for a strategy": (
        ["+ranking.strategies.deep={{_target_: smash_lightning.baselines.Depth}}"],
        ["ranking.strategies.deep must be a Strategy", "Depth is none"],
    ),
    "policy without an option of its own": (["ranking.batch_norm.images=4"], ["no option ranking.batch_norm.images"]),
    "warm start without steps": (
        ["ranking.batch_norm._target_=smash_lightning.scoring.WarmStart"],
        ["WarmStart", "missing", "steps"],
    ),
    "one image to recalibrate with": (
        ["+ranking.batch_norm.images=1"],
        ["ranking.batch_norm.images must be at least 2"],
    ),
    "no noise": (["ranking.noises=0"], ["ranking.noises must be at least 1, got 0"]),
    "unknown class of HyperNet": (["hypernet._target_=smash_lightning.hypernet.None"], ["hypernet._target_", "None"]),
    "something else than a HyperNet": (["hypernet._target_=torch.nn.Linear"], ["hypernet must be a WeightSource"]),
    "unknown option of a HyperNet": (["+hypernet.kind=shared"], ["hypernet", "'kind'"]),
    "HyperNet without width": (["hypernet.width=0"], ["hypernet.width must be at least 1, got 0"]),
    "average of one": (["search.average=1.0"], ["search.average must lie between 0 and 1"]),
    "unknown one-shot baseline": (["baselines.one_shot=[darts]"], ["baselines.one_shot", "weight_sharing", "darts"]),
    "baseline with a name of the study": (
        ["+baselines.baselines.params={{_target_: smash_lightning.baselines.Depth}}"],
        ["baselines.baselines.params", "another name"],
    ),
    "nothing to ask baselines about": (["task=baselines"], ["nothing was retrained", "checkpoint=FOLDER"]),
    "too few resamples": (["evaluation.bootstrap=3"], ["evaluation.bootstrap must be at least 100, got 3"]),
    "spread over the pool": (
        ["retrain.stratified=14"],
        ["retrain.stratified=14", "14 random", "ranking.strategies.random.count"],
    ),
    "large batch": (["dataset.batch_size=601"], ["dataset.batch_size=601", "600 training images"]),
    "large validation": (["dataset.validation=1100"], ["dataset.validation=1100", "1100 training images"]),
    "images of no place": (["dataset=folder"], ["dataset.root has no value", "dataset.root=..."]),
    "images that are not there": (["dataset=folder", "dataset.root=missing"], ["missing", "dataset.root="]),
    "class without images": (["dataset=folder", "dataset.root=pictures"], ["pictures/train/b"]),
    "set that is not there": (
        ["dataset=cifar10", "dataset.root=empty", "dataset.download=false"],
        ["no cifar-10-batches-py in empty", "dataset.root=FOLDER", "dataset.download=true"],
    ),
    "set that nobody may download": (["dataset=imagenet32", "dataset.root=empty"], ["empty", "image-net.org"]),
    "fold of ten": (["dataset=stl10", "dataset.fold=10"], ["dataset.fold must lie between 0 and 9"]),
    "fold of letters": (["dataset=stl10", "dataset.fold=x"], ["fold must be a valid integer, got 'x'"]),
    "moves of voxels for images": (
        ["dataset.augmentation={{_target_: smash_lightning.data.VoxelMoves}}"],
        ["dataset.augmentation", "VoxelMoves is for images of 3 dimensions"],
    ),
    "constants of three channels for one": (["dataset.mean=[1,2,3]"], ["dataset.mean", "each of 1 channels"]),
    "unknown set to download": (["task=datasets", "task.download=[mnist]"], ["task.download", "mnist", "cifar10"]),
    "folder below a file": (["hydra.run.dir=bad.json/run"], ["bad.json/run", "hydra.run.dir=FOLDER"]),
    "resumed folder is empty": (["resume=empty"], ["resume=empty", "config.yaml"]),
    "resumed folder is missing": (["resume=missing"], ["resume=missing", "nothing at this path"]),
    "resumed checkpoint": (["resume=cut.ckpt"], ["resume=cut.ckpt", "config.yaml"]),
    "resumed with another value": (
        ["resume={whole}", "retrain.shortlist=3"],
        ["{whole}", "retrain.shortlist was 2, now 3", "start anew"],
    ),
    "resumed with another source": (["resume={whole}", "checkpoint=cut.ckpt"], ["checkpoint was None, now cut.ckpt"]),
    "folder with a run": (["hydra.run.dir={whole}"], ["{whole} already holds a run", "resume={whole}"]),
    "processes that train together": (
        ["trainer=ddp_cpu", "workers=3"],
        ["workers=3", "trainer.devices=2", "leave workers out"],
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_gets_one_clear_line(whole: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "bad.json").write_text('{"format": 1, "blocks": [')
    (tmp_path / "cut.ckpt").write_bytes((whole / "checkpoints" / "hypernet0.ckpt").read_bytes()[:5000])
    for folder in ("empty", "pictures/train/a", "pictures/train/b"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "pictures" / "train" / "a" / "1.png").touch()
    network = next(path for path in (whole / "checkpoints").glob("*-0.ckpt"))
    places = {"whole": whole, "network": network}
    arguments, expected = ([text.format(**places) for text in texts] for texts in BAD[name])
    options = [] if any(argument.startswith(("checkpoint=", "resume=")) for argument in arguments) else TINY
    ended = smash(tmp_path, *options, "logger=none", *arguments)
    assert isinstance(ended.error, str), "it ended well"
    assert ended.error.startswith("error: ")
    assert "\n" not in ended.error
    for part in expected:
        assert part in ended.error
    assert not (tmp_path / "missing").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_is_read_only(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o500)
    ended = smash(tmp_path, "task=draw", "task.preset=resnet", "logger=none", "hydra.run.dir=closed/run")
    assert str(ended.error).startswith("error: ")
    assert "closed" in str(ended.error)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there(tmp_path: Path) -> None:
    ended = smash(tmp_path, *TINY, "trainer=gpu")
    assert ended.error == "error: trainer.accelerator=gpu: torch finds no GPU here, choose trainer=cpu"


# --- sweeps and processes ---


@pytest.mark.slow
def test_a_sweep_of_two_seeds(whole: Path, tmp_path: Path) -> None:
    ended = smash(tmp_path, "-m", *TINY, "seed=0,1", f"hydra.sweep.dir={tmp_path / 'sweep'}")
    assert ended.well
    first, second = (tmp_path / "sweep" / name for name in "01")
    assert sorted(path.name for path in (tmp_path / "sweep").iterdir() if path.is_dir()) == ["0", "1"]
    # The same seed gives the same results, in whatever folder and after whatever other runs of the process.
    for name in ("ranking.csv", "baselines.csv"):
        assert timeless.table(first / name) == timeless.table(whole / name), name
        assert timeless.table(second / name) != timeless.table(whole / name), name
    for name, read in (("architectures.jsonl", Path.read_text), ("correlation.json", timeless.figures)):
        assert read(first / name) == read(whole / name), name
        assert read(second / name) != read(whole / name), name
    # Another seed shares the data and its splits.
    assert configuration(second).seed == 1
    data = [instantiate(configuration(folder).dataset) for folder in (first, second)]
    for split in ("train", "validation", "test"):
        one, other = (getattr(each, split).images for each in data)
        assert torch.equal(one, other), split
    names = [{row.fingerprint for row in scored(folder)} for folder in (first, second)]
    assert not names[0] & names[1]


@pytest.mark.slow
def test_the_command_itself(tmp_path: Path) -> None:
    code, out, error = end(process(tmp_path, "task=draw", "task.preset=densenet", "logger=none"))
    assert code == 0, error
    folder = Path(out.splitlines()[-1])
    assert folder.is_relative_to(tmp_path / "outputs")
    assert {path.name for path in folder.iterdir()} == {
        "architecture.svg",
        "architecture.json",
        "config.yaml",
        "result.json",
    }
    code, out, error = end(process(tmp_path, "dataset=imagenet"))
    assert (code, out) == (1, "")
    assert error.splitlines() == [
        "error: dataset=imagenet is unknown: did you mean imagenet32? Known: cifar10, cifar100, digits, folder, "
        "imagenet32, modelnet10, parquet, stl10"
    ]
    assert "python run.py task=rank checkpoint=FOLDER" in end(process(tmp_path, "--help"))[1]


@pytest.mark.slow
def test_two_processes_do_a_whole_run_together(tmp_path: Path) -> None:
    smaller = ["search.hypernets=1", "search.epochs=2", "retrain.seeds=1", "retrain.epochs=1", "ranking.fixed=1"]
    smaller += ["baselines=cheap"]
    options = [option for option in changed(TINY, smaller) if not option.startswith("workers")]
    code, out, error = end(process(tmp_path, *options, "trainer=ddp_cpu"))
    assert code == 0, error
    folders = [path.parent for path in tmp_path.rglob("config.yaml")]
    assert out.splitlines()[-1] == str(folders[0])
    assert out.count(str(folders[0])) == 1
    assert len(folders) == 1
    drawn = torch.load(RunFolder(folders[0]).hypernet(0), weights_only=True)["smash"]["drawn"]
    assert len(drawn) == 2 * 2 * (600 // 64), "two processes, two epochs: an architecture each in every step"
    assert not set(drawn) & {row.fingerprint for row in scored(folders[0])}
    assert len(scored(folders[0])) == 20
    assert {row.failure for row in retrained(folders[0])} == {""}
    assert (folders[0] / "report.html").exists()
