"""Architectures that are given, such as presets, are trained like those that the score selects."""

import json
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from smash_lightning.architecture import ImageSpec
from smash_lightning.evaluation.tables import BASELINES, read_retrained, read_table
from smash_lightning.report.tracker import Tracker
from smash_lightning.search_space import SingleConvolution
from smash_lightning.search_space.presets import densenet, resnet, wrn
from smash_lightning.stages import Experiment, baselines, correlate, pipeline, retrain
from smash_lightning.stages.retrain import Job, train_networks
from smash_lightning.stages.selection import given_architectures
from tests.cases import small
from tests.stages.small_run import RETRAIN, rank_at_random, small_experiment

ROOM = import_module("smash_lightning.stages.retrain")  # in the package the function has this name
SILENT = Tracker([])
CIFAR = ImageSpec(3, (32, 32), 10)
SMALL = resnet(10, 4)


def test_each_is_trained_once() -> None:
    plan = replace(RETRAIN, presets=("wrn-16-2", "densenet-bc-40-12", "wrn", "densenet"))
    expected = {"wrn-16-2": wrn(16, 2), "densenet-bc-40-12": densenet(40, 12)}
    assert given_architectures(plan, small(CIFAR, SingleConvolution())) == expected


def test_presets_and_files_have_the_axes_of_the_images(tmp_path: Path) -> None:
    """The two are equal, and so trained once."""
    file = tmp_path / "flat.json"
    file.write_text(resnet().to_json())
    plan = replace(RETRAIN, presets=("resnet",), architectures=(str(file),))
    voxels = small(ImageSpec(1, (32, 32, 32), 10), SingleConvolution())
    assert given_architectures(plan, voxels) == {"resnet": resnet(dimensions=3)}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"presets": ("resnet-11-4-5",)}, r"retrain.presets: resnet-11-4-5: .*depth 11 does not fit 5 blocks"),
        (
            {"presets": ("resnet-16-4-5",)},
            r"retrain.presets: resnet-16-4-5: images of size \(8, 8\) are too small for 5",
        ),
        (
            {"presets": ("resnet-10-4",), "start": "generated"},
            r"retrain.presets: resnet-10-4: a HyperNet gives no weights to it, as it has 3 blocks.*use retrain.start",
        ),
        ({"presets": ("vgg-16",)}, r"retrain.presets: vgg-16: no such preset: choose one of resnet, wrn"),
        ({"architectures": ("no.json",)}, r"retrain.architectures: .*no.json: No such file"),
    ],
)
@pytest.mark.parametrize("stage", [pipeline, retrain])
def test_what_cannot_be_trained_is_refused_before_anything_runs(
    tmp_path: Path, stage: Any, changes: dict[str, Any], message: str
) -> None:
    experiment = small_experiment(tmp_path, retrain=replace(RETRAIN, **changes))
    with pytest.raises(ValueError, match=message):
        stage(experiment, SILENT)
    assert not list(tmp_path.iterdir())


def test_they_are_rows_of_the_same_table_and_of_no_sample(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Trained after the others, which are not repeated; one of them is ranked, and trained, already."""
    experiment = small_experiment(tmp_path / "run", retrain=replace(RETRAIN, seeds=2, shortlist=1, stratified=2))
    ranked = rank_at_random(experiment.folder, 3)
    first = retrain(experiment, SILENT)
    before = comparison(experiment)
    trained: list[str] = []

    def train(experiment: Experiment, job: Job, send: Any) -> Any:
        trained.append(job.architecture.fingerprint)
        return train_networks(experiment, job, send)

    monkeypatch.setattr(ROOM, "train_networks", train)
    file = tmp_path / "architecture.json"
    file.write_text(ranked[0].to_json())
    plan = replace(experiment.retrain, presets=("resnet-10-4",), architectures=(str(file),))
    more = replace(experiment, retrain=plan)
    table = retrain(more, SILENT)
    assert trained == [SMALL.fingerprint]
    given = table["fingerprint"].isin([SMALL.fingerprint, ranked[0].fingerprint])
    assert (table["preset"] == given).all()
    assert table["seed"][table["fingerprint"] == SMALL.fingerprint].tolist() == [0, 1]
    kept = table[table["fingerprint"] != SMALL.fingerprint].drop(columns="preset").reset_index(drop=True)
    pd.testing.assert_frame_equal(kept, first.drop(columns="preset"))
    assert experiment.folder.read_architectures()[SMALL.fingerprint] == SMALL
    experiment.folder.write_architectures(ranked)  # as a resumed ranking does
    assert experiment.folder.read_names() == {SMALL.fingerprint: "resnet-10-4", ranked[0].fingerprint: str(file)}
    assert table.equals(retrain(more, SILENT))
    assert len(trained) == 1

    assert comparison(more) == before
    assert SMALL.fingerprint not in set(read_table(experiment.folder.baselines, BASELINES)["fingerprint"])
    printed = capsys.readouterr().out
    assert f"found: {ranked[0].fingerprint}" in printed
    assert "resnet-10-4" in printed
    assert "resnet-10-4" in experiment.folder.report.read_text()
    assert (experiment.folder.path / "trained.png").exists()
    assert len(read_retrained(experiment.folder)) == len(first) + 2


def comparison(experiment: Experiment) -> str:
    baselines(experiment, SILENT)
    correlate(experiment, SILENT)
    found = json.loads(experiment.folder.correlation.read_text())
    seconds = [one.pop("seconds") for one in found["comparison"]["predictors"].values()]
    assert seconds
    return json.dumps(found)
