"""Hands results to whichever loggers a run has: W&B, CSV, TensorBoard, MLflow, several or none.

A run's own files hold everything; what is logged here is a copy for looking at. Only the main process logs.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
from lightning.pytorch.loggers import Logger, MLFlowLogger, TensorBoardLogger
from PIL import Image

NO_RESULTS = ("correlation", "data", "result", "architecture")  # JSON files of other content
if TYPE_CHECKING:  # runs without W&B do not import it
    from smash_lightning.report.wandb_run import WandbRun


class Tracker:
    """Logs to all loggers what each of them can show; a context manager that closes them in any case.

    Args:
        loggers: Lightning loggers, at most one of them of W&B.

    Raises:
        ValueError: two loggers of W&B.
    """

    def __init__(self, loggers: Sequence[Logger]) -> None:
        runs: list[Any] = [logger for logger in loggers if hasattr(logger, "log_with_axis")]
        if len(runs) > 1:
            raise ValueError(f"{len(runs)} loggers of W&B would share one run: give one")
        self._wandb: WandbRun | None = runs[0] if runs else None
        self._others = [logger for logger in loggers if logger not in runs]
        self._last_step = 0

    def __enter__(self) -> Tracker:
        return self

    def __exit__(self, kind: type | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.close(failed=kind is not None)

    def config(self, values: Mapping[str, Any]) -> None:
        """Hyperparameters: plain values and plain containers of them."""
        self._on_wandb(lambda run: run.configure(values))
        for logger in self._others:
            logger.log_hyperparams(dict(values))
            logger.save()

    def log(self, prefix: str, values: Mapping[str, float], step: int) -> None:
        """Live metrics of one of several trainings that run at the same time, as `prefix/name`.

        Args:
            prefix: names the training, such as "hypernet0"; on W&B each has a step axis of its own.
            values: numbers by name.
            step: of this training.
        """
        self._last_step = max(self._last_step, step)
        self._on_wandb(lambda run: run.log_with_axis(prefix, values, step))
        self._log_elsewhere({f"{prefix}/{name}": value for name, value in values.items()}, step)

    def artifact(self, name: str, kind: str, paths: Sequence[Path], used: Sequence[tuple[str, Path]] = ()) -> None:
        """Files kept together under the name `name-RUN`, on W&B only.

        Args:
            name: letters, digits, dashes, underscores and dots.
            kind: what they are, such as "ranking" or "model".
            paths: files and folders that do not change until the run has been uploaded.
            used: names of the artifacts that it was made from, each with the folder of the run that made it; its
                metadata lists them, and online W&B draws them as its lineage.
        """
        self._on_wandb(lambda run: run.keep(name, kind, paths, used))

    def log_folder(self, folder: Path) -> None:
        """A finished run's folder: tables to W&B, the main numbers to all, pictures and page to whatever shows them."""
        shown = [path for kind in ("*.csv", "*.png", "*.svg", "report.html") for path in sorted(folder.glob(kind))]
        for path in shown:
            self._on_wandb(lambda run, path=path: run.log_file(path))  # type: ignore[misc]
            if path.suffix != ".csv":
                self._show_elsewhere(path)
        main = main_numbers(folder)
        self._on_wandb(lambda run: run.log_summary(main))
        self._log_elsewhere(main, self._last_step)
        if (folder / "correlation.json").exists():
            self._on_wandb(lambda run: run.log_charts(folder))

    def close(self, *, failed: bool = False) -> None:
        """Closes all loggers and ends W&B's run, so that the next job of this process gets one of its own."""
        try:
            for logger in self._others:
                logger.finalize("failed" if failed else "success")
        finally:
            if self._wandb is not None:
                self._wandb.end(failed=failed)

    def _on_wandb(self, action: Callable[[WandbRun], None]) -> None:
        """Continues the run after any error of a service on the network: its own files hold everything."""
        if self._wandb is None:
            return
        try:
            action(self._wandb)
        except Exception as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            print(f"W&B failed, and the run continues without it: {reason}. Its own files hold all", file=sys.stderr)
            with suppress(Exception):
                self._wandb.end(failed=True)
            self._wandb = None

    def _show_elsewhere(self, path: Path) -> None:
        for logger in self._others:
            if isinstance(logger, TensorBoardLogger) and path.suffix == ".png":
                pixels = np.asarray(Image.open(path).convert("RGB"))
                logger.experiment.add_image(path.stem, pixels, self._last_step, dataformats="HWC")
            elif isinstance(logger, MLFlowLogger):
                logger.experiment.log_artifact(logger.run_id, str(path))

    def _log_elsewhere(self, metrics: Mapping[str, float], step: int) -> None:
        for logger in self._others:
            logger.log_metrics(dict(metrics), step)
            logger.save()  # or nothing of a killed run would be on disk


def main_numbers(folder: Path) -> dict[str, float]:
    """The main numbers of correlation.json, and every number of what an analysis wrote."""
    others = [path for path in sorted(folder.glob("*.json")) if path.stem not in NO_RESULTS]
    found = {
        name: one
        for path in others
        for name, one in numbers(json.loads(path.read_text(encoding="utf-8")), path.stem).items()
    }
    if (path := folder / "correlation.json").exists():
        found |= headline(json.loads(path.read_text(encoding="utf-8")))
    return {name: value for name, value in found.items() if math.isfinite(value)}


def numbers(plain: Any, name: str) -> dict[str, float]:
    """Every number in plain values by its path; an estimate by its own path, its ends with _low and _high added."""
    if isinstance(plain, Mapping):
        if {"value", "low", "high"} <= plain.keys():
            return {name: plain["value"], f"{name}_low": plain["low"], f"{name}_high": plain["high"]}
        return {path: one for key in plain for path, one in numbers(plain[key], f"{name}/{key}").items()}
    if isinstance(plain, list):
        return numbers(dict(enumerate(plain)), name)
    return {name: float(plain)} if isinstance(plain, int | float) else {}


def headline(correlation: Mapping[str, Any]) -> dict[str, float]:
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
        found |= numbers(one, name)
    return found
