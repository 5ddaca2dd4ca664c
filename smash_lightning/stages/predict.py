"""Uses a retrained network: classes of images without labels, and its errors on another test set."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from pydantic import PositiveInt
from torch import Tensor

from smash_lightning.architecture import ImageSpec
from smash_lightning.data import Split, Subset, TensorLoader
from smash_lightning.data.source import listed
from smash_lightning.data.unlabelled import ARRAYS, Named, find_unlabelled, read_unlabelled
from smash_lightning.evaluation.intervals import mean_interval, share_interval
from smash_lightning.files import atomic_write, write_text
from smash_lightning.finished_run import best_retrained, trained_network
from smash_lightning.network import Classifier
from smash_lightning.report.labels import count, estimate_text
from smash_lightning.report.tracker import Tracker
from smash_lightning.stages.experiment import Experiment
from smash_lightning.training import classification_metrics, log_probabilities

ERRORS = {"true_error": "error in %", "true_error_top5": "top-5 error in %"}
ARRAY_BYTES = 16  # data sets whose brightest byte is at most this one have no pictures: digits and voxels


def predict(experiment: Experiment, tracker: Tracker, images: str, fingerprint: str | None = None) -> None:
    """Writes `predictions.csv`: a row for each image, with its file, class and the probability of each class.

    The network is the one that `task=export` writes; probabilities are averaged over the poses of the augmentation
    where its test results were. An image that cannot be read has a row without a class, and the reason in `failure`.

    Args:
        experiment: its `source` is a run with retrained networks.
        tracker: receives nothing.
        images: a folder of pictures and arrays at any depth, or one such file; see `data.unlabelled`.
        fingerprint: the architecture; None: the best by score of those that were retrained.

    Raises:
        ValueError: nothing was retrained, or there is no image, or none can be read.
    """
    del tracker
    (classifier,), classes, spec = _networks(experiment, [fingerprint])
    root = Path(images).expanduser()
    files, others = find_unlabelled(root)
    pictures = [path for path in files if path.suffix.lower() not in ARRAYS]
    if pictures and int(experiment.data.sets.train.images[:100].max()) <= ARRAY_BYTES:
        raise ValueError(
            f"task.images={images}: the bytes of {experiment.data.name} end at {ARRAY_BYTES} or below, those of "
            "pictures at 255: give an .npy in the units of the data set"
        )
    path, rows, failures = experiment.folder.path / "predictions.csv", 0, list[str]()
    with atomic_write(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        for batch in read_unlabelled(root, files, spec, experiment.data.eval_batch_size):
            table = _table(batch, classifier, classes, experiment)
            table.to_csv(file, index=False, header=rows == 0, float_format="%.6g", lineterminator="\n")
            rows += len(table)
            failures += [f"{name} ({reason})" for name, reason in batch if isinstance(reason, str)]
        if len(failures) == rows:  # nothing is written
            raise ValueError(f"task.images={images}: none of {count(rows, 'image')} can be read: {listed(failures)}")
    if pictures:
        size = " x ".join(map(str, spec.size))
        print(f"Pictures that are not {size} were brought to it: scaled to just cover it (Lanczos), the middle kept")
    if others:
        print(f"{count(len(others), 'file')} left out, as they are no images: {listed([file.name for file in others])}")
    if failures:
        print(f"{len(failures)} of {count(rows, 'image')} cannot be read, see the column failure: {listed(failures)}")
    print(f"{path.name}: {rows - len(failures)} images in {len(classes)} classes")


def evaluate(
    experiment: Experiment,
    tracker: Tracker,
    fingerprint: str | None = None,
    split: Literal["test", "all"] = "test",
    networks: PositiveInt = 1,
) -> float:
    """Writes `evaluation.json`: error, top-5 error and loss of retrained networks on the data set of this command.

    Errors are in % with the interval of Wilson, the loss in nats with that of Student, both over the images.

    Args:
        experiment: its `source` is a run with retrained networks, its `data` may be others, such as those of
            `dataset.root=FOLDER`.
        tracker: receives nothing.
        fingerprint: the architecture; None: the best by score of those that were retrained.
        split: the test images, or all images, of a data set that has no split.
        networks: how many of the best by score are an ensemble, whose probabilities are averaged; each has its first
            seed.

    Returns:
        The error.

    Raises:
        ValueError: nothing was retrained, or fewer networks; classes or images are others than those of the network;
            or they are those that it was trained on.
    """
    del tracker
    data, before = experiment.data, experiment.source_folder().read_data().get("content", {})
    best = [fingerprint] if networks == 1 else best_retrained(experiment.source_folder())[:networks]
    if len(best) < networks or (networks > 1 and fingerprint is not None):
        raise ValueError(
            f"task.networks={networks}: {len(best)} architectures were scored and retrained; take at most as many, and "
            "leave out task.fingerprint"
        )
    classifiers, classes, spec = _networks(experiment, best)
    described, found = data.describe(), data.image_spec
    if (mine := set(data.classes)) != set(classes):
        raise ValueError(
            f"the images have the classes {listed(data.classes, 10)}; the network has {listed(classes, 10)}; not in "
            f"both are {listed(sorted(mine ^ set(classes)), 10)}: name the classes equally"
        )
    if found.size != spec.size or found.channels not in (1, spec.channels):
        shapes = (" x ".join(map(str, (each.channels, *each.size))) for each in (found, spec))
        raise ValueError("the images are of {}, and the network reads {}: dataset.size=N scales them".format(*shapes))
    if split == "all" and described["content"]["train"] == before.get("train"):
        raise ValueError("task.split=all: the network was trained on these images, use task.split=test")
    splits = [data.sets.test] if split == "test" else [data.sets.train, data.sets.test]
    number = torch.tensor([classes.index(name) for name in data.classes])
    labels = torch.cat([number[part.labels] for part in splits])
    each = [_log_probabilities(one, part.images, experiment) for one in classifiers for part in splits]
    predicted = log_probabilities(torch.cat(each), len(classifiers))
    metrics, images = classification_metrics(predicted, labels), len(labels)
    losses = F.nll_loss(predicted, labels, reduction="none")
    errors = {name: value for name, value in metrics.items() if name in ERRORS and not math.isnan(value)}
    results = {name: share_interval(value, images) for name, value in errors.items()}
    results["true_loss"] = mean_interval(losses.numpy())
    texts = [f"{ERRORS[name]} {estimate_text(results[name])}" for name in errors]
    print(f"{described['name']}, {images:,} images: {', '.join(texts)}, loss {estimate_text(results['true_loss'], 4)}")
    content = {
        "data": described["name"],
        "split": split,
        "networks": networks,
        "images": images,
        "content": described["content"],
    }
    write_text(experiment.folder.path / "evaluation.json", json.dumps(content | results, indent=2) + "\n")
    return metrics["true_error"]


def _networks(
    experiment: Experiment, fingerprints: Sequence[str | None]
) -> tuple[list[Classifier], Sequence[str], ImageSpec]:
    """Networks on the device of scores, their classes, and the images that they read."""
    source = experiment.source_folder()
    classifiers = [trained_network(source, name).classifier.to(experiment.device) for name in fingerprints]
    classes = source.read_data().get("classes", experiment.data.classes)
    return classifiers, classes, classifiers[0].network.image_spec


def _table(
    batch: Sequence[Named], classifier: Classifier, classes: Sequence[str], experiment: Experiment
) -> pd.DataFrame:
    """The rows of images, in their order."""
    table = pd.DataFrame({"file": [name for name, _ in batch], "class": "", "failure": ""})
    probabilities = np.full((len(batch), len(classes)), math.nan)
    readable = [index for index, (_, image) in enumerate(batch) if not isinstance(image, str)]
    if readable:
        images = torch.from_numpy(np.stack([batch[index][1] for index in readable]))
        probabilities[readable] = _log_probabilities(classifier, images, experiment).exp().numpy()
        table.loc[readable, "class"] = [classes[index] for index in probabilities[readable].argmax(1)]
    table["failure"] = [image if isinstance(image, str) else "" for _, image in batch]
    columns = {f"probability_{name}": column for name, column in zip(classes, probabilities.T, strict=True)}
    return pd.concat([table, pd.DataFrame(columns)], axis=1)


@torch.inference_mode()
def _log_probabilities(classifier: Classifier, images: Tensor, experiment: Experiment) -> Tensor:
    """Log probabilities (count, classes) of bytes (count, channels, *size), averaged over poses as in the test."""
    data, index = experiment.data, torch.arange(len(images))
    loader = TensorLoader(
        Subset(Split(images, index), index),  # the index in place of labels, which there are none of
        classifier.mean,
        classifier.std,
        data.eval_batch_size,
        augmentation=data.augmentation if data.views > 1 else None,
        views=data.views,
    )
    return log_probabilities(torch.cat([classifier.network(batch).cpu() for batch, _ in loader]), data.views)
