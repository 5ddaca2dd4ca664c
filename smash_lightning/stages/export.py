"""Exports a retrained network as a program that runs with torch alone."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor, nn

from smash_lightning.architecture import Architecture
from smash_lightning.evaluation.sample import finished_trainings
from smash_lightning.evaluation.tables import read_ranking, read_retrained
from smash_lightning.network import StandaloneNetwork
from smash_lightning.report.tracker import Tracker
from smash_lightning.stages.experiment import Experiment
from smash_lightning.training import load_checkpoint


class Classifier(nn.Module):
    """From raw images (batch, channels, *size), values from 0 to 255, to logits (batch, classes)."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: StandaloneNetwork, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)

    def forward(self, images: Tensor) -> Tensor:
        """Normalises and classifies."""
        return self.network((images - self.mean) / self.std)


def export(experiment: Experiment, tracker: Tracker, fingerprint: str | None = None) -> None:
    """Writes `network.pt2` (read it with `torch.export.load`), `architecture.json` and `classes.json`.

    Args:
        experiment: its `source` is a run with retrained networks.
        tracker: receives the files.
        fingerprint: the architecture; None takes the best by score of those that were retrained. Of its trainings the
            one with the lowest seed is taken. Choosing either by the test images would spoil the test.

    Raises:
        ValueError: nothing was retrained, or not this architecture, or its checkpoint is missing.
    """
    source = experiment.source_folder()
    mine = _choose(finished_trainings(read_retrained(source)), read_ranking(source), fingerprint, source.path)
    fingerprint, seed = mine["fingerprint"].iloc[0], int(mine["seed"].iloc[0])
    path = source.network(fingerprint, seed)
    checkpoint = load_checkpoint(path, "architecture")
    architecture = Architecture.from_json(checkpoint["architecture"])
    network = StandaloneNetwork(architecture, experiment.data.image_spec)
    state = checkpoint["state_dict"].items()
    network.load_state_dict({name.removeprefix("network."): tensor for name, tensor in state})
    classifier = Classifier(network, experiment.data.mean, experiment.data.std).eval()
    folder = experiment.folder.path
    _write(classifier, experiment.data.test.images[:2].float(), folder / "network.pt2")
    (folder / "architecture.json").write_text(architecture.to_json() + "\n")
    (folder / "classes.json").write_text(json.dumps(experiment.data.classes) + "\n")
    tracker.artifact("network", "model", [folder / "network.pt2", folder / "architecture.json"])
    print(
        f"{fingerprint}, seed {seed}: test error {mine['true_error'].iloc[0]:.2f} %, "
        f"{mine['true_error'].mean():.2f} % as the mean of {len(mine)} trainings. "
        'torch.export.load("network.pt2").module() maps raw images to logits.'
    )


def _choose(trainings: pd.DataFrame, ranking: pd.DataFrame, fingerprint: str | None, source: Path) -> pd.DataFrame:
    """The trainings of one architecture, by seed."""
    names = set(trainings["fingerprint"])
    if not names:
        raise ValueError(f"{source} holds no finished training: retrain first, with task=retrain")
    chosen = fingerprint or next(name for name in ranking["fingerprint"] if name in names)
    if chosen not in names:
        raise ValueError(f"architecture {chosen} was not retrained in {source}")
    return trainings[trainings["fingerprint"] == chosen].sort_values("seed")


@torch.no_grad()
def _write(classifier: Classifier, images: Tensor, path: Path) -> None:
    expected = classifier(images)  # also makes the index tensors that the network caches, before tracing
    batch = torch.export.Dim("batch", min=1, max=65536)
    program = torch.export.export(classifier, (images,), dynamic_shapes=({0: batch},))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of weights that are views of one storage
        torch.export.save(program, path)
    again = torch.export.load(path).module()(images)
    if not torch.allclose(again, expected, rtol=1e-4, atol=1e-5):
        raise RuntimeError(f"{path} computes something else than the network that was exported")
