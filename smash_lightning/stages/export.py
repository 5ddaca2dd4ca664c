"""Exports a retrained network as a program that runs with torch alone."""

import json
import warnings
from pathlib import Path

import torch
from torch import Tensor

from smash_lightning.evaluation.sample import finished_trainings
from smash_lightning.evaluation.tables import read_ranking, read_retrained
from smash_lightning.network import Classifier
from smash_lightning.report.tracker import Tracker
from smash_lightning.stages.experiment import Experiment
from smash_lightning.training import load_classifier


def export(experiment: Experiment, tracker: Tracker, fingerprint: str | None = None) -> None:
    """Writes `network.pt2` (read it with `torch.export.load`), `architecture.json`, `classes.json` and `data.json`.

    `network.pt2` has data.json as an extra file, with the digests of the data that the network was trained and tested
    on.

    Args:
        experiment: its `source` is a run with retrained networks.
        tracker: receives the files.
        fingerprint: the architecture; None takes the best by score of those that were retrained. Of its trainings the
            one with the lowest seed is taken. Choosing either by the test images would spoil the test.

    Raises:
        ValueError: nothing was retrained, or not this architecture, its checkpoint is missing, or it is of other data.
    """
    source, folder = experiment.source_folder(), experiment.prepare_folder().path
    trainings, ranking = finished_trainings(read_retrained(source)), read_ranking(source)
    if trainings.empty:
        raise ValueError(f"{source.path} holds no finished training: retrain first, with task=retrain")
    best = ranking["fingerprint"][ranking["fingerprint"].isin(trainings["fingerprint"])]
    chosen = fingerprint or next(iter(best), trainings["fingerprint"].iloc[0])  # where presets alone were trained
    mine = trainings[trainings["fingerprint"] == chosen].sort_values("seed")
    if mine.empty:
        raise ValueError(f"architecture {fingerprint} was not retrained in {source.path}")
    name, seed = mine["fingerprint"].iloc[0], int(mine["seed"].iloc[0])
    data = experiment.data.describe()
    classifier = load_classifier(source.network(name, seed), data["content"])
    _write(classifier, experiment.data.test.images[:2].float(), folder / "network.pt2", json.dumps(data))
    (folder / "architecture.json").write_text(classifier.network.architecture.to_json() + "\n", encoding="utf-8")
    (folder / "classes.json").write_text(json.dumps(experiment.data.classes) + "\n", encoding="utf-8")
    tracker.artifact("network", "model", [folder / "network.pt2", folder / "architecture.json"])
    print(
        f"{name}, seed {seed}: test error {mine['true_error'].iloc[0]:.2f} %, "
        f"{mine['true_error'].mean():.2f} % as the mean of {len(mine)} trainings. "
        'torch.export.load("network.pt2").module() maps raw images to logits.'
    )


@torch.no_grad()
def _write(classifier: Classifier, images: Tensor, path: Path, data: str) -> None:
    expected = classifier(images)  # also makes the index tensors that the network caches, before tracing
    batch = torch.export.Dim("batch", min=1, max=65536)
    program = torch.export.export(classifier, (images,), dynamic_shapes=({0: batch},))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of weights that are views of one storage
        torch.export.save(program, path, extra_files={"data.json": data})
    again = torch.export.load(path).module()(images)
    if not torch.allclose(again, expected, rtol=1e-4, atol=1e-5):
        raise RuntimeError(f"{path} computes something else than the network that was exported")
