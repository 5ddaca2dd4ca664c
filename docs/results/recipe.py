"""Trains one network on the digits with each part of a recipe: python docs/results/recipe.py > FILE.json.

One part at a time is added to the default recipe, with the same seeds, which have the same initial weights and batches.
It takes about 3 minutes of one core; docs/results/recipe.md has the table.
"""

import sys
import tempfile
from functools import partial
from statistics import fmean, stdev
from typing import Any

import torch
from collect import markdown, record

from smash_lightning.evaluation.intervals import mean_interval
from smash_lightning.python_api import experiment
from smash_lightning.search_space.presets import preset
from smash_lightning.stages.retrain import Job, train_networks

NETWORK, SEEDS = "resnet-16-8", 10
PARTS: dict[str, dict[str, Any]] = {
    "default": {},
    "AdamW, learning rate .005": {"optimizer": partial(torch.optim.AdamW), "learning_rate": 0.005},
    "warm_up=0.1": {"warm_up": 0.1},
    "clip=1": {"clip": 1.0},
    "average=0.9": {"average": 0.9},
    "label_smoothing=0.1": {"label_smoothing": 0.1},
    "dropout=0.1": {"dropout": 0.1},
    "drop_path=0.1": {"drop_path": 0.1},
    "cutout=2": {"cutout": 2},
    "mixup=0.2": {"mixup": 0.2},
    "cutmix=1": {"cutmix": 1.0},
}


def train(part: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows of `retrained.csv`, one for each seed."""
    with tempfile.TemporaryDirectory() as folder:
        made = experiment(folder, retrain=part)
        made.folder.checkpoints.mkdir()
        job = Job(preset(NETWORK)(), frozenset(), tuple(range(SEEDS)))
        return train_networks(made, job, lambda message: None)[0]


def figures() -> dict[str, Any]:
    """For each part, means over seeds, and the difference of test losses from the default recipe, seed by seed."""
    found, plain = {}, []
    for name, part in PARTS.items():
        rows = train(part)
        losses = [row["true_loss"] for row in rows]
        plain = plain or losses
        found[name] = {
            "true_loss": {"mean": fmean(losses), "sd": stdev(losses)},
            "true_error": fmean(row["true_error"] for row in rows),
            "difference": mean_interval([own - other for own, other in zip(losses, plain, strict=True)]),
        }
        print(name, found[name], file=sys.stderr, flush=True)
    return found


def table(found: dict[str, Any]) -> str:
    """The figures in Markdown."""
    rows = []
    for name, row in found.items():
        loss, difference = row["true_loss"], row["difference"]
        paired = "{value:+.4f} [{low:+.4f}, {high:+.4f}]".format(**difference) if name != "default" else "-"
        rows.append([name, f"{loss['mean']:.4f} ({loss['sd']:.4f})", f"{row['true_error']:.2f}", paired])
    return markdown(["recipe", "test loss (SD over seeds)", "test error, %", "loss minus default, paired"], rows)


if __name__ == "__main__":
    print(record(["python docs/results/recipe.py"], {f"{NETWORK}, {SEEDS} seeds": figures()}))
