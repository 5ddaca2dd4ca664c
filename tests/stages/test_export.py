"""A retrained network outside of the package: its files, its card, predictions, and another test set."""

import json
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pandas as pd
import pytest
import torch
import yaml

import smash_lightning as smash
from smash_lightning import stages
from smash_lightning.data import DataModule, Digits, RawDataset, Split
from smash_lightning.finished_run import best_retrained, trained_network
from smash_lightning.report.tracker import Tracker
from smash_lightning.run_folder import RunFolder
from smash_lightning.stages import export as export_module
from tests.tiny_run import options

OUTSIDE = """
import sys
sys.modules["smash_lightning"] = None  # an import of it is an error
import numpy as np, onnxruntime, torch
sys.path.insert(0, ".")
from network import CLASSES, load
images = np.load("images.npy")
with torch.no_grad():
    plain = load()(torch.from_numpy(images)).numpy()
    archive = torch.export.load("network.pt2").module()(torch.from_numpy(images).float()).numpy()
session = onnxruntime.InferenceSession("network.onnx")
(onnx,) = session.run(None, {"images": images.astype(np.float32)})
np.savez("logits.npz", plain=plain, archive=archive, onnx=onnx)
print(*CLASSES)
"""


def experiment(run: smash.FinishedRun, folder: Path, **changes: Any) -> stages.Experiment:
    """What a task gets that starts from a finished run."""
    from smash_lightning.python_api import experiment

    folder.mkdir(parents=True, exist_ok=True)
    return replace(experiment(folder, **options()), source=run.folder, **changes)


@pytest.fixture(scope="module")
def exported(tiny_run: smash.FinishedRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported")
    stages.export(experiment(tiny_run, folder), Tracker([]))
    return folder


def test_every_file_computes_the_same_without_the_package(tiny_run: smash.FinishedRun, exported: Path) -> None:
    images = options()["data"].test.images[:40]
    np.save(exported / "images.npy", images.numpy())
    files = {"data.json": ""}
    torch.export.load(exported / "network.pt2", extra_files=files)
    assert json.loads(files["data.json"]) == RunFolder(exported).read_data() == tiny_run.data
    done = subprocess.run([sys.executable, "-I", "-c", OUTSIDE], cwd=exported, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == list("0123456789")
    with torch.no_grad():
        expected = tiny_run.model(images).numpy()
    for name, logits in np.load(exported / "logits.npz").items():
        np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-4, err_msg=name)


def test_the_card_has_data_figures_and_files(tiny_run: smash.FinishedRun, exported: Path) -> None:
    _, header, card = (exported / "MODEL_CARD.md").read_text().split("---\n", 2)
    rows = tiny_run.retrained[tiny_run.retrained["fingerprint"] == tiny_run.best["fingerprint"]].sort_values("seed")
    error, (model,) = rows["true_error"].iloc[0], yaml.safe_load(header)["model-index"]
    assert model["results"][0]["metrics"][0]["value"] == pytest.approx(100 - error, abs=1e-3)
    parts = [f"{error:.2f} [", f"{rows['true_error'].mean():.2f} [", tiny_run.data["content"]["test"], "9.\n", ".svg)"]
    for part in [*parts, *(f"| `network.{ending}` | " for ending in ("pt2", "onnx", "safetensors", "py"))]:
        assert part in card, part
    assert "nan" not in card


def test_a_format_whose_package_is_missing_is_left_out_or_refused(
    tiny_run: smash.FinishedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = sys.modules[export_module.__module__]
    monkeypatch.setattr(module, "find_spec", lambda name: None if name in ("safetensors", "onnxscript") else name)
    monkeypatch.setattr(module, "_write_archive", lambda network, images, path, data: path.touch() or network)
    made = experiment(tiny_run, tmp_path)
    with pytest.raises(ValueError, match=r"task.formats: onnx needs the package onnxscript: pip install"):
        stages.export(made, Tracker([]), formats=["torch", "onnx"])
    stages.export(made, Tracker([]))
    assert {path.suffix for path in tmp_path.glob("network.*")} == {".pt2"}
    assert "Not written: onnx, safetensors, python. They need pip install 'smash-lightning[export]'" in (
        capsys.readouterr().out
    )


def test_what_is_sent_to_the_hub(tiny_run: smash.FinishedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[Any] = []

    class Api:
        def create_repo(self, name: str, **given: Any) -> None:
            sent.append((name, given))

        def create_commit(self, name: str, operations: list[Any], commit_message: str) -> Any:
            sent.append({each.path_in_repo: Path(each.path_or_fileobj).name for each in operations})
            raise OSError("no network")

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    with pytest.raises(RuntimeError, match=r"task.push_to_hub=me/net: no network. The files are in"):
        stages.export(experiment(tiny_run, tmp_path), Tracker([]), formats=["python"], push_to_hub="me/net")
    files = ["network.py", "network.safetensors", "architecture.json", "architecture.svg", "classes.json", "data.json"]
    expected = {name: name for name in files} | {"README.md": "MODEL_CARD.md"}
    assert sent == [("me/net", {"private": True, "exist_ok": True}), expected]


def test_predictions_are_those_of_the_model(tiny_run: smash.FinishedRun, tmp_path: Path) -> None:
    images = options()["data"].test.images[:5].numpy()
    np.save(tmp_path / "some.npy", images)
    np.save(tmp_path / "wrong.npy", images[:, :, 1:])
    made = experiment(tiny_run, tmp_path / "out")
    stages.predict(made, Tracker([]), str(tmp_path))
    table = pd.read_csv(tmp_path / "out" / "predictions.csv")
    assert list(table["file"]) == [*(f"some.npy[{index}]" for index in range(5)), "wrong.npy"]
    probabilities = table[[f"probability_{name}" for name in range(10)]].to_numpy()
    with torch.no_grad():
        expected = tiny_run.model(torch.from_numpy(images)).softmax(1)
    np.testing.assert_allclose(probabilities[:5], expected, rtol=1e-4)
    assert list(table["class"][:5]) == expected.argmax(1).tolist()
    assert table["class"].isna()[5]
    assert "(5, 1, 7, 8)" in table["failure"][5]
    (tmp_path / "picture.png").touch()
    with pytest.raises(ValueError, match=r"the bytes of digits end at 16 or below.*give an .npy"):
        stages.predict(made, Tracker([]), str(tmp_path))
    with pytest.raises(ValueError, match=r"wrong.npy: none of 1 image can be read"):
        stages.predict(made, Tracker([]), str(tmp_path / "wrong.npy"))


@dataclass(frozen=True)
class Renamed(Digits):
    """The digits with their classes in another order, under names that begin with `prefix`."""

    prefix: str = ""

    def read(self) -> RawDataset:
        sets = super().read()
        splits = (Split(split.images, 9 - split.labels) for split in (sets.train, sets.test))
        return RawDataset(*splits, tuple(f"{self.prefix}{name}" for name in reversed(sets.classes)))


def test_another_test_set_is_evaluated_by_names_of_classes(tiny_run: smash.FinishedRun, tmp_path: Path) -> None:
    rows = tiny_run.retrained[tiny_run.retrained["fingerprint"] == tiny_run.best["fingerprint"]].sort_values("seed")

    def other(source: Digits) -> DataModule:
        data = options()["data"]
        data.source = source
        return data

    for data in (options()["data"], other(Renamed())):
        made = experiment(tiny_run, tmp_path, data=data)
        error = stages.evaluate(made, Tracker([]))
        found = json.loads((RunFolder(tmp_path).path / "evaluation.json").read_text())
        for name in ("true_error", "true_error_top5", "true_loss"):
            assert found[name]["value"] == pytest.approx(rows[name].iloc[0], rel=1e-5), name
            assert found[name]["low"] < found[name]["value"] < found[name]["high"]
        assert error == found["true_error"]["value"]
        assert found["images"] == 697
    made, run = experiment(tiny_run, tmp_path), RunFolder(tiny_run.folder)
    test, networks = made.data.sets.test, [trained_network(run, name) for name in best_retrained(run)[:3]]
    mean = sum(network.classifier(test.images).softmax(1) for network in networks)
    error = 100 * (mean.argmax(1) != test.labels).double().mean()
    assert stages.evaluate(made, Tracker([]), networks=3) == pytest.approx(float(error))
    with pytest.raises(ValueError, match=r"task.networks=99: \d architectures were scored and retrained"):
        stages.evaluate(made, Tracker([]), networks=99)
    with pytest.raises(ValueError, match=r"classes x9, x8, .* the network has 0, 1, .* name the classes equally"):
        stages.evaluate(experiment(tiny_run, tmp_path, data=other(Renamed(prefix="x"))), Tracker([]))
    with pytest.raises(ValueError, match="the network was trained on these images"):
        stages.evaluate(experiment(tiny_run, tmp_path), Tracker([]), split="all")
