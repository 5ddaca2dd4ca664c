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
from typing import Any

import numpy as np
import pandas as pd
import wandb
from lightning.pytorch.loggers import Logger, MLFlowLogger, TensorBoardLogger
from PIL import Image

from smash_lightning.report.build import read_charts
from smash_lightning.report.dashboard import chart_name, split_specification
from smash_lightning.report.figures import specification
from smash_lightning.report.loggers import WandbRun, read_identity

FILES = ("*.png", "*.svg", "report.html")


class Tracker:
    """Logs to all loggers what each of them can show; a context manager that closes them in any case.

    Args:
        loggers: Lightning loggers, at most one of them of W&B.

    Raises:
        ValueError: two loggers of W&B.
    """

    def __init__(self, loggers: Sequence[Logger]) -> None:
        runs = [logger for logger in loggers if isinstance(logger, WandbRun)]
        if len(runs) > 1:
            raise ValueError(f"{len(runs)} loggers of W&B would share one run: give one")
        self._wandb = runs[0] if runs else None
        self._others = [logger for logger in loggers if not isinstance(logger, WandbRun)]
        self._last_step = 0
        self._axes: set[str] = set()  # metrics whose step axis W&B has

    def __enter__(self) -> Tracker:
        return self

    def __exit__(self, kind: type | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.close(failed=kind is not None)

    def config(self, values: Mapping[str, Any]) -> None:
        """Hyperparameters: plain values and plain containers of them."""
        # A resumed run may have another configuration of its loggers.
        self._on_wandb(lambda run: run.config.update(dict(values), allow_val_change=True))
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
        named = {f"{prefix}/{name}": value for name, value in values.items()}
        self._on_wandb(lambda run: self._log_with_axis(run, named, f"{prefix}/step", step))
        self._log_elsewhere(named, step)

    def artifact(self, name: str, kind: str, paths: Sequence[Path], used: Sequence[tuple[str, Path]] = ()) -> None:
        """Files kept together under the name `name-RUN`, on W&B only.

        Args:
            name: letters, digits, dashes, underscores and dots.
            kind: what they are, such as "ranking" or "model".
            paths: files and folders that do not change until the run has been uploaded.
            used: names of the artifacts that it was made from, each with the folder of the run that made it; its
                metadata lists them, and online W&B draws them as its lineage.
        """
        self._on_wandb(lambda run: self._log_artifact(run, name, kind, paths, used))

    def log_folder(self, folder: Path) -> None:
        """A finished run's folder: tables to W&B, the main numbers to all, pictures and page to whatever shows them."""
        for path in sorted(folder.glob("*.csv")):
            self._on_wandb(lambda run, path=path: run.log({path.stem: _table(pd.read_csv(path))}))  # type: ignore[misc]
        for path in sorted(one for pattern in FILES for one in folder.glob(pattern)):
            self._picture(path)
        if (path := folder / "correlation.json").exists():
            numbers = headline(json.loads(path.read_text()))
            self._on_wandb(lambda run: run.summary.update(numbers))
            self._log_elsewhere(numbers, self._last_step)
            if self._wandb is not None and self._wandb.charts:
                self._on_wandb(lambda run: self._log_charts(run, folder))

    def close(self, *, failed: bool = False) -> None:
        """Closes all loggers and ends W&B's run, so that the next job of this process gets one of its own."""
        try:
            for logger in self._others:
                logger.finalize("failed" if failed else "success")
        finally:
            if self._wandb is not None and self._wandb._experiment is not None:
                self._wandb.experiment.finish(exit_code=int(failed))
                self._wandb._experiment = None

    def _on_wandb(self, action: Callable[[Any], object]) -> None:
        """Whatever a service on the network answers, the run goes on: its own files hold everything."""
        if self._wandb is None:
            return
        try:
            action(self._wandb.open())
        except Exception as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            print(f"W&B failed, and the run goes on without it: {reason}. Its own files hold all", file=sys.stderr)
            with suppress(Exception):
                self.close(failed=True)
            self._wandb = None

    def _log_with_axis(self, run: Any, named: Mapping[str, float], axis: str, step: int) -> None:
        if axis not in self._axes:
            run.define_metric(axis, hidden=True)
        for name in named.keys() - self._axes:
            run.define_metric(name, step_metric=axis)
        self._axes |= named.keys() | {axis}
        run.log({**named, axis: step})

    def _log_artifact(
        self, run: Any, name: str, kind: str, paths: Sequence[Path], used: Sequence[tuple[str, Path]]
    ) -> None:
        assert self._wandb is not None
        own = self._wandb.identity["run"]
        sources = []
        for source, folder in used:
            identity = read_identity(folder)
            sources.append(f"{source}-{identity['run'] if identity else folder.resolve().name}")
            if self._wandb._wandb_init["mode"] == "online" and (identity or {}).get("run") != own:
                with suppress(wandb.Error, ValueError):  # that run may never have been uploaded
                    run.use_artifact(f"{sources[-1]}:latest")
        artifact = wandb.Artifact(f"{name}-{own}", type=kind, metadata={"inputs": sources, "run": own})
        for path in paths:  # immutable: uploaded from the run folder, not from a copy in the user's home
            if path.is_dir():
                artifact.add_dir(str(path), name=path.name, policy="immutable", skip_cache=True)
            else:
                artifact.add_file(str(path), policy="immutable", skip_cache=True)
        run.log_artifact(artifact)

    def _log_charts(self, run: Any, folder: Path) -> None:
        assert self._wandb is not None
        for name, chart in read_charts(folder).items():
            plain = specification(chart)
            rows, published = split_specification(plain)[1], f"{self._wandb.charts}/{chart_name(name)}"
            fields = {str(column): str(column) for column in rows}
            run.log(
                {f"{name}_chart": wandb.plot_table(published, _table(rows), fields, {"title": plain["title"]["text"]})}
            )

    def _picture(self, path: Path) -> None:
        name = path.name.replace(".", "_")
        if path.suffix == ".png":
            self._on_wandb(lambda run: run.log({name: wandb.Image(str(path))}))
        else:
            text = path.read_text(encoding="utf-8")
            self._on_wandb(lambda run: run.log({name: wandb.Html(text, inject=False, data_is_not_path=True)}))
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


def headline(correlation: Mapping[str, Any]) -> dict[str, float]:
    """The main numbers of correlation.json, each estimate with the ends of its interval."""
    loss, comparison = correlation["loss"], correlation["comparison"]
    estimates = {
        **{f"{kind}": one for kind, one in loss["scores"]["smash_score"].items()},
        **{f"spearman_{name}": one["spearman"] for name, one in comparison["predictors"].items()},
        "noise_ceiling": loss["reliability"].get("ceiling"),
        "spearman_given_params": loss["partial_given_params"],
        "spearman_given_sizes": loss["partial_given_sizes"],
        "spearman_above_goal": comparison["above_goal"],
        "size_matched_tau": comparison["predictors"]["smash_score"]["size_matched_tau"],
        "top_fraction_smash_score": loss["top_fraction"].get("smash_score"),
        "top_fraction_params": loss["top_fraction"].get("params"),
    }
    numbers = {"architectures_compared": float(correlation["architectures"])}
    for name, one in estimates.items():
        if one is not None:
            numbers |= {name: one["value"], f"{name}_low": one["low"], f"{name}_high": one["high"]}
    return {name: value for name, value in numbers.items() if math.isfinite(value)}


def _table(frame: pd.DataFrame) -> Any:
    """A table of W&B; what is not finite becomes an empty cell, as JSON has no NaN."""
    plain = frame.astype(object).where(frame.notna(), None).replace([math.inf, -math.inf], None)
    return wandb.Table(columns=[str(name) for name in frame], data=plain.to_numpy().tolist(), allow_mixed_types=True)
