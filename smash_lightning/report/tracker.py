"""Logs results to the loggers of a run: W&B, CSV, TensorBoard, MLflow, Comet, Aim, several or none.

A run's own files hold everything; what is logged is a copy for display. Only the main process logs.
"""

import json
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pandas as pd
from lightning.pytorch.loggers import CometLogger, Logger, MLFlowLogger, TensorBoardLogger
from PIL import Image

NO_RESULTS = ("correlation", "data", "result", "architecture")  # JSON files of other content


class Tracker:
    """Logs to all of `loggers` what each of them can show; a context manager that closes them in any case.

    A logger that fails, such as a service on the network, is closed, and the run continues without it.
    """

    def __init__(self, loggers: Sequence[Logger]) -> None:
        self._loggers, self._last_step = list(loggers), 0

    def __enter__(self) -> "Tracker":
        return self

    def __exit__(self, kind: type | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self._each(lambda logger: logger.finalize("success" if kind is None else "failed"))
        self._each(lambda logger: logger.experiment.end() if isinstance(logger, CometLogger) else None)

    def config(self, values: Mapping[str, Any]) -> None:
        """Hyperparameters: plain values and plain containers of them."""
        self._each(lambda logger: logger.log_hyperparams(dict(values)))
        self._each(lambda logger: logger.save())

    def log(self, prefix: str, values: Mapping[str, float], step: int) -> None:
        """Live metrics of one of several trainings that run at the same time, as `prefix/name`.

        Args:
            prefix: names the training, such as "hypernet0"; on W&B each has a step axis of its own.
            values: numbers by name.
            step: of this training.
        """
        self._last_step = max(self._last_step, step)
        named = {f"{prefix}/{name}": value for name, value in values.items()}
        self._each(lambda logger: logger.log_metrics(named, step))
        self._each(lambda logger: logger.save())  # or nothing of a killed run would be on disk

    def artifact(self, name: str, kind: str, paths: Sequence[Path], used: Sequence[tuple[str, Path]] = ()) -> None:
        """Files kept together under the name `name-RUN`, on W&B only.

        Args:
            name: letters, digits, dashes, underscores and dots.
            kind: what they are, such as "ranking" or "model".
            paths: files and folders that do not change until the run has been uploaded.
            used: names of the artifacts that it was made from, each with the folder of the run that made it; its
                metadata lists them, and online W&B draws them as its lineage.
        """
        self._each(lambda logger: logger.keep(name, kind, paths, used), method="keep")

    def trainings(self, table: pd.DataFrame, history: pd.DataFrame) -> None:
        """Standalone trainings as runs of their own, on W&B only and where `logger.trainings=runs`.

        Args:
            table: the rows of retrained.csv.
            history: the rows of training_history.csv.
        """
        self._each(lambda logger: logger.log_trainings(table, history), method="log_trainings")

    def log_folder(self, folder: Path) -> None:
        """A finished run's folder: tables to W&B, the main numbers to all, pictures and page to whatever shows them."""
        paths = [path for kind in ("*.csv", "*.png", "*.svg", "report.html") for path in sorted(folder.glob(kind))]
        numbers, step = main_numbers(folder), self._last_step

        def show(logger: Any) -> None:
            if hasattr(logger, "log_results"):  # of W&B
                return logger.log_results(folder, paths, numbers)
            logger.log_metrics(numbers, step)
            logger.save()
            for path in paths:
                if isinstance(logger, TensorBoardLogger) and path.suffix == ".png":
                    pixels = np.asarray(Image.open(path).convert("RGB"))
                    logger.experiment.add_image(path.stem, pixels, step, dataformats="HWC")
                elif isinstance(logger, MLFlowLogger) and path.suffix != ".csv":
                    logger.experiment.log_artifact(logger.run_id, str(path))

        self._each(show)

    def _each(self, action: Callable[[Any], object], method: str = "finalize") -> None:
        """An action for each logger that has a method, which Lightning's have or only that of W&B."""
        for logger in [logger for logger in self._loggers if hasattr(logger, method)]:
            try:
                action(logger)
            except Exception as error:
                reason, name = " ".join(str(error).split()) or type(error).__name__, type(logger).__name__
                print(f"{name} failed: {reason}. The run continues without it, its files hold all", file=sys.stderr)
                self._loggers.remove(logger)
                with suppress(Exception):
                    logger.finalize("failed")


def main_numbers(folder: Path) -> dict[str, float]:
    """The main numbers of correlation.json, and every number of what an analysis wrote."""
    found: dict[str, float] = {}
    for path in sorted(folder.glob("*.json")):
        if path.stem not in NO_RESULTS:
            found |= _numbers(json.loads(path.read_text(encoding="utf-8")), path.stem)
    if (path := folder / "correlation.json").exists():
        found |= _headline(json.loads(path.read_text(encoding="utf-8")))
    return {name: value for name, value in found.items() if math.isfinite(value)}


def _numbers(plain: Any, name: str) -> dict[str, float]:
    """Every number in plain values by its path; an estimate by its own path, its ends with _low and _high added."""
    if isinstance(plain, Mapping):
        if {"value", "low", "high"} <= plain.keys():
            return {name: plain["value"], f"{name}_low": plain["low"], f"{name}_high": plain["high"]}
        return {path: one for key in plain for path, one in _numbers(plain[key], f"{name}/{key}").items()}
    if isinstance(plain, list):
        return _numbers(dict(enumerate(plain)), name)
    return {name: float(plain)} if isinstance(plain, int | float) else {}


def _headline(correlation: Mapping[str, Any]) -> dict[str, float]:
    """The main numbers of correlation.json, each estimate with the ends of its interval."""
    loss, comparison = correlation["loss"], correlation["comparison"]
    estimates = {
        **loss["scores"]["smash_score"],
        **{f"spearman_{name}": one["spearman"] for name, one in comparison["predictors"].items()},
        "noise_ceiling": loss["reliability"].get("ceiling"),
        "partial_spearman_params": loss["partial_given_params"],
        "partial_spearman_sizes": loss["partial_given_sizes"],
        "spearman_above_goal": comparison["above_goal"],
        "size_matched_tau": comparison["predictors"]["smash_score"]["size_matched_tau"],
        **{f"top_fraction_{name}": one for name, one in loss["top_fraction"].items()},
    }
    found = {"architectures_compared": float(correlation["architectures"])}
    for name, one in estimates.items():
        found |= _numbers(one, name)
    return found
