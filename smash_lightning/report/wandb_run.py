"""The logger of Weights & Biases: one run per run folder, offline without a key or a network."""

from __future__ import annotations

import json
import math
import os
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd
import wandb
from lightning.pytorch.loggers import WandbLogger

from smash_lightning.files import atomic_write
from smash_lightning.report.wandb_mode import choose_mode

LONGEST_NAME, LONGEST_TAG, FORBIDDEN = 128, 64, frozenset("/\\#?%:")  # what W&B accepts


class WandbRun(WandbLogger):
    """Lightning's logger for W&B that keeps its id and group in the run folder, so that a resumed run has the same.

    Args:
        folder: of the run; everything that W&B writes is below it, and can be uploaded later with `wandb sync`.
        identity: `run` (id) and `group`.
        charts: account under which our charts are published; None for none.
        options: of `wandb.init`.
    """

    def __init__(self, folder: Path, identity: dict[str, str], charts: str | None, **options: Any) -> None:
        settings = wandb.Settings(silent=True, console="off")
        super().__init__(save_dir=folder, id=identity["run"], group=identity["group"], settings=settings, **options)
        self._wandb_init.pop("anonymous", None)  # Lightning passes it on, W&B no longer accepts it
        self.folder, self.identity, self.charts = folder, identity, charts
        self._axes: set[str] = set()  # metrics whose step axis W&B has

    @property
    def _run(self) -> Any:
        """The run on W&B, opened at first use."""
        if self._experiment is None and self._wandb_init["mode"] != "disabled":
            _file(self.folder).parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(_file(self.folder)) as partial:  # before opening: an interrupted run has an id as well
                partial.write_text(json.dumps(self.identity) + "\n", encoding="utf-8")
        return self.experiment

    def configure(self, values: Mapping[str, Any]) -> None:
        """Hyperparameters; a resumed run may have another configuration of its loggers."""
        self._run.config.update(dict(values), allow_val_change=True)

    def log_with_axis(self, prefix: str, values: Mapping[str, float], step: int) -> None:
        """Metrics as `prefix/name` over `prefix/step`."""
        run, axis = self._run, f"{prefix}/step"
        named = {f"{prefix}/{name}": value for name, value in values.items()}
        if axis not in self._axes:
            run.define_metric(axis, hidden=True)
        for name in named.keys() - self._axes:
            run.define_metric(name, step_metric=axis)
        self._axes |= named.keys() | {axis}
        run.log({**named, axis: step})

    def log_summary(self, values: Mapping[str, float]) -> None:
        """The run's main numbers."""
        self._run.summary.update(dict(values))

    def log_file(self, path: Path) -> None:
        """A CSV file as a table, a PNG picture, a page or an SVG drawing."""
        if path.suffix == ".csv":
            self._run.log({path.stem: _table(pd.read_csv(path))})
        elif path.suffix == ".png":
            self._run.log({path.name.replace(".", "_"): wandb.Image(str(path))})
        else:
            html = wandb.Html(path.read_text(encoding="utf-8"), inject=False, data_is_not_path=True)
            self._run.log({path.name.replace(".", "_"): html})

    def log_charts(self, folder: Path) -> None:
        """The charts of a finished run over logged tables, where our charts are published."""
        if self.charts is None:
            return
        from smash_lightning.report.build import read_charts
        from smash_lightning.report.dashboard import chart_name, split_specification
        from smash_lightning.report.style import specification

        for name, chart in read_charts(folder).items():
            plain = specification(chart)
            rows, title = split_specification(plain)[1], {"title": plain["title"]["text"]}
            columns = {str(column): str(column) for column in rows}
            published = wandb.plot_table(f"{self.charts}/{chart_name(name)}", _table(rows), columns, title)
            self._run.log({f"{name}_chart": published})

    def keep(self, name: str, kind: str, paths: Sequence[Path], used: Sequence[tuple[str, Path]]) -> None:
        """Publishes files as an artifact, see `Tracker.artifact`."""
        own, sources = self.identity["run"], []
        for source, folder in used:
            identity = read_identity(folder)
            sources.append(f"{source}-{identity['run'] if identity else folder.resolve().name}")
            if self._wandb_init["mode"] == "online" and (identity or {}).get("run") != own:
                with suppress(wandb.Error, ValueError):  # that run may never have been uploaded
                    self._run.use_artifact(f"{sources[-1]}:latest")
        artifact = wandb.Artifact(f"{name}-{own}", type=kind, metadata={"inputs": sources, "run": own})
        for path in paths:  # immutable: uploaded from the run folder, not from a copy in the user's home
            if path.is_dir():
                artifact.add_dir(str(path), name=path.name, policy="immutable", skip_cache=True)
            else:
                artifact.add_file(str(path), policy="immutable", skip_cache=True)
        self._run.log_artifact(artifact)

    def end(self, *, failed: bool) -> None:
        """Ends the run on W&B, so that the next job of this process opens one of its own."""
        if self._experiment is not None:
            self._experiment.finish(exit_code=int(failed))
            self._experiment = None


def wandb_logger(
    folder: Path | str,
    project: str,
    entity: str | None = None,
    name: str | None = None,
    group: str | None = None,
    tags: Sequence[str] = (),
    mode: str = "auto",
    charts: str | None = None,
    task: str = "",
    about: Sequence[str] = (),
    sweep: str | None = None,
    checkpoint: str | None = None,
) -> WandbRun:
    """A logger of W&B that needs no input and prints nothing.

    Args:
        folder: of the run.
        project: on W&B.
        entity: user or team; the account's default if None.
        name: of the run; W&B invents one if None.
        group: of runs that belong together; if None, that of the sweep, that of the run which `checkpoint` names, or
            the run's own id.
        tags: of the run.
        mode: auto, online, offline or disabled. Auto is online where an API key is found (WANDB_API_KEY or .netrc),
            the server is reachable and WANDB_MODE is not set otherwise; else offline.
        charts: account under which `smash_lightning.report.dashboard` published our charts.
        task: dotted name of the task; its last part is the job type.
        about: further tags from the configuration: dotted names by their last part, cut to the length that W&B accepts.
        sweep: folder of the sweep that the run may belong to.
        checkpoint: run folder, or a checkpoint in it, that the run builds on.

    Raises:
        ValueError: an unknown mode, online without an API key, or a name or tag that W&B refuses.
    """
    for option, value in (("project", project), ("name", name), ("group", group)):
        if value is not None and not 0 < len(value) <= LONGEST_NAME:
            raise ValueError(f"logger.wandb.{option} must have 1 to {LONGEST_NAME} characters, got {len(value)}")
    if wrong := FORBIDDEN & set(project):
        raise ValueError(f"logger.wandb.project={project}: W&B does not accept {' '.join(sorted(wrong))} in it")
    if wrong_tag := next((tag for tag in tags if not 0 < len(tag) <= LONGEST_TAG), None):
        raise ValueError(f"logger.wandb.tags: {wrong_tag!r} must have 1 to {LONGEST_TAG} characters")
    home = Path(folder)
    # W&B reads these from the environment alone. By default they are in the user's home, which may be read-only.
    os.environ["WANDB_DATA_DIR"] = os.environ["WANDB_CACHE_DIR"] = str(home.resolve() / "wandb")
    found = read_identity(home)
    run = found["run"] if found else secrets.token_hex(4)
    joined = group or (found["group"] if found else _group_of(home, sweep, checkpoint)) or run
    short = (tag.rsplit(".", 1)[-1][:LONGEST_TAG] for tag in about)
    return WandbRun(
        home,
        {"run": run, "group": joined},
        charts,
        project=project,
        entity=entity,
        name=name,
        tags=list(dict.fromkeys([*short, *tags])),
        mode=choose_mode(mode),  # Lightning's `offline=True` would set WANDB_MODE for all later runs of the process
        job_type=task.rsplit(".", 1)[-1] or None,
    )


def read_identity(folder: Path) -> dict[str, str] | None:
    """Id and group of a folder's run on W&B; None where it was never logged there."""
    with suppress(OSError, ValueError):
        plain = json.loads(_file(folder).read_text(encoding="utf-8"))
        if isinstance(plain, dict) and plain.keys() == {"run", "group"}:
            return plain
    return None


def _group_of(folder: Path, sweep: str | None, checkpoint: str | None) -> str:
    """The group that a new run joins; empty for a new group."""
    if sweep is not None and folder.resolve().is_relative_to(Path(sweep).resolve()):
        return "-".join(Path(sweep).resolve().parts[-2:])  # by default the day and the time
    if checkpoint is None:
        return ""
    source = Path(checkpoint)
    joined = read_identity(source if source.is_dir() else source.parent.parent)
    return joined["group"] if joined else ""


def _file(folder: Path) -> Path:
    return folder / "wandb" / "run.json"


def _table(frame: pd.DataFrame) -> Any:
    """A table of W&B; what is not finite becomes an empty cell, as JSON has no NaN."""
    plain = frame.astype(object).where(frame.notna(), None).replace([math.inf, -math.inf], None)
    return wandb.Table(columns=[str(name) for name in frame], data=plain.to_numpy().tolist(), allow_mixed_types=True)
