"""What `import smash_lightning` offers: a finished run as an object, the stages as functions, classes to extend."""

import ast
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import yaml
from torch import nn

import smash_lightning as smash
from smash_lightning import python_api
from smash_lightning.configuration.build import SECTIONS, build_experiment, default_configuration
from smash_lightning.hypernet import SharedWeights
from smash_lightning.run_folder import RunFolder
from smash_lightning.stages.calibrate import library_of
from smash_lightning.strategies import Random
from tests import command_line
from tests.plugins import Scaled
from tests.tiny_run import options

PACKAGE = Path(smash.__file__).parent


# --- the names ---


def test_there_are_few_names_and_all_exist_also_for_type_checkers() -> None:
    assert len(smash.__all__) == len(set(smash.__all__)) <= 20
    for name in smash.__all__:
        assert getattr(smash, name).__name__ == name
        assert getattr(smash, name).__doc__
    assert dir(smash) == sorted(smash.__all__)
    (block,) = [node for node in ast.parse((PACKAGE / "__init__.py").read_text()).body if isinstance(node, ast.If)]
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    assert {alias.asname for node in imports for alias in node.names} == set(smash.__all__)


# --- a finished run ---


def test_a_run_is_printed_on_one_screen(tiny_run: smash.FinishedRun) -> None:
    lines = repr(tiny_run).splitlines()
    assert len(lines) < 30
    assert max(map(len, lines)) <= 110
    text = " ".join(lines)
    for part in ("on digits: 7 architectures", "standalone trainings", tiny_run.best["fingerprint"], tiny_run.verdict):
        assert part in text


def test_the_model_takes_raw_images_and_has_the_test_error_of_its_training(tiny_run: smash.FinishedRun) -> None:
    data = options()["data"]
    images, labels = data.test.images, data.test.labels
    assert images.dtype == torch.uint8
    assert isinstance(tiny_run.model, nn.Module)
    assert not tiny_run.model.training
    assert torch.equal(tiny_run.model(images), tiny_run.model(images.float()))
    error = 100 * (tiny_run.model.predict(images) != labels).double().mean().item()
    rows = tiny_run.retrained[tiny_run.retrained["fingerprint"] == tiny_run.best["fingerprint"]].sort_values("seed")
    assert error == pytest.approx(rows["true_error"].iloc[0])
    largest = tiny_run.model(images).argsort(1, descending=True)[:, :5]
    among = (largest == labels[:, None]).any(1).double().mean().item()
    assert 0 < rows["true_error_top5"].iloc[0] == pytest.approx(100 * (1 - among))
    assert tiny_run.model.network.architecture == tiny_run.architecture


def test_a_ranking_alone_is_loaded(tiny_run: smash.FinishedRun, tmp_path: Path) -> None:
    for name in ("ranking.csv", "architectures.jsonl", "data.json"):
        (tmp_path / name).write_bytes((tiny_run.folder / name).read_bytes())
    alone = smash.load(tmp_path)
    assert alone.best["fingerprint"] == alone.ranking["fingerprint"].iloc[0]
    assert isinstance(alone.retrained, pd.DataFrame)
    assert not len(alone.retrained)
    assert "not compared with a ground truth" in alone.verdict
    assert alone.draw()
    with pytest.raises(ValueError, match=r"no architecture was retrained in .*: use task=retrain"):
        _ = alone.model


# --- the stages ---


def test_the_defaults_are_those_of_the_command_line(tmp_path: Path) -> None:
    made, built = python_api.experiment(tmp_path), build_experiment(default_configuration(), tmp_path)
    for name in ("seed", "space", "candidates", "hypernet", *SECTIONS):
        assert getattr(made, name) == getattr(built, name), name
    assert made.data.specification() == built.data.specification()
    for name in python_api.DATA_OPTIONS:
        assert getattr(made.data, name) == getattr(built.data, name), name
    assert made.trainer.keywords == built.trainer.keywords  # type: ignore[attr-defined]


def test_the_default_has_a_library(tmp_path: Path) -> None:
    """Of data, candidates and options of standalone training that are still the default; without it there is none."""
    by_default, without = (
        python_api.experiment(tmp_path, **chosen) for chosen in ({}, {"evaluation": {"library": []}})
    )
    from_command = build_experiment(default_configuration(), tmp_path)
    assert [len(table) for table in library_of(from_command)] == [60, 60, 60, 60]
    assert [len(table) for table in library_of(by_default)] == [60, 60, 60, 60]
    assert library_of(without) == []
    assert library_of(replace(from_command, retrain=replace(from_command.retrain, epochs=2))) == []


def test_stages_continue_where_they_were(tiny_run: smash.FinishedRun) -> None:
    files = {path: path.read_bytes() for path in tiny_run.folder.rglob("*.csv")}
    paths = smash.search(tiny_run.folder, **options())
    assert paths == RunFolder(tiny_run.folder).hypernets()
    pd.testing.assert_frame_equal(smash.rank(tiny_run.folder, **options()), tiny_run.ranking)
    pd.testing.assert_frame_equal(smash.retrain(tiny_run.folder, **options()), tiny_run.retrained)
    assert all(path.read_bytes() == content for path, content in files.items())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"serch": {}}, "there is no option serch; known: data, space"),
        ({"search": {"epoch": 3}}, "search: .*unexpected keyword argument 'epoch'"),
        ({"search": {"epochs": 0}}, "search.epochs must be greater than 0, got 0"),
        ({"hypernet": {"widht": 3}}, "hypernet.widht: there is no such value"),
        ({"hypernet": {"width": 0}}, "hypernet.width must be greater than 0, got 0"),
        ({"hypernet": nn.Linear}, "hypernet must be a WeightSource"),
        ({"hypernet": 3}, "hypernet must be a class or a mapping of options, got 3"),
    ],
)
def test_wrong_options_are_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        smash.search(tmp_path, **changes)
    assert not list(tmp_path.iterdir())


def test_a_stage_needs_the_options_of_the_one_before(tiny_run: smash.FinishedRun) -> None:
    space = replace(python_api.smashv1_tiny(options()["data"].image_spec), max_ops=3)  # type: ignore[type-var]
    before = tiny_run.folder.joinpath("config.yaml").read_bytes()
    for changes, message in (
        ({"space": space}, r"other values: search_space\.MemoryBankSpace\.max_ops was 5, now 3\. Continue it with"),
        ({"search": {"epochs": 2, "hypernets": 2}}, r"other values: search\.epochs was 1, now 2\. Continue it with"),
        ({"seed": 1}, r"seed was 0, now 1"),
    ):
        with pytest.raises(ValueError, match=message):
            smash.rank(tiny_run.folder, **options() | changes)
    assert tiny_run.folder.joinpath("config.yaml").read_bytes() == before
    config = yaml.safe_load(before)
    assert config["search"]["_target_"] == "smash_lightning.training.search_module.SearchOptions"
    assert config["ranking"]["strategies"] == {
        "random": {"_target_": "smash_lightning.strategies.random.Random", "count": 7}
    }


def test_options_of_a_later_stage_are_recorded_when_it_is_run(tmp_path: Path) -> None:
    chosen = options() | {"search": {"epochs": 1, "hypernets": 1}}
    smash.search(tmp_path, **chosen | {"ranking": {"fixed": 2, "fixed_every": 1}})
    assert "ranking" not in yaml.safe_load((tmp_path / "config.yaml").read_text())
    smash.rank(tmp_path, **chosen)
    fewer = {**chosen["ranking"], "strategies": {"random": Random(6)}}
    with pytest.raises(ValueError, match=r"other values: ranking\.strategies\.random\.count was 7, now 6"):
        smash.rank(tmp_path, **chosen | {"ranking": fewer})
    with pytest.raises(ValueError, match=r"other values: held_out\.fixed was 2, now 16"):
        smash.search(tmp_path, **chosen | {"ranking": {}})


def test_the_command_line_takes_a_run_of_the_functions(tiny_run: smash.FinishedRun, tmp_path: Path) -> None:
    ended = command_line.smash(tmp_path, f"resume={tiny_run.folder}")
    assert ended.error == f"error: resume={tiny_run.folder} was run from Python: continue it by the same functions"
    place = (f"checkpoint={tiny_run.folder}", "hydra.run.dir=best", "logger=none")
    assert command_line.smash(tmp_path, "task=draw", *place).well
    assert tiny_run.ranking["fingerprint"][0] in (tmp_path / "best" / "architecture.svg").read_text()


@pytest.mark.parametrize("hypernet", [SharedWeights, {"target": "tests.plugins.Scaled", "hidden": 2, "names": []}])
def test_hypernets_are_given_as_a_class_or_as_values(tmp_path: Path, hypernet: Any) -> None:
    chosen = options() | {"hypernet": hypernet}
    made = python_api.experiment(tmp_path, **chosen)
    assert type(made.hypernet.build(made.space, 0)) is (SharedWeights if hypernet is SharedWeights else Scaled)
