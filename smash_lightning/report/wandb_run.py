"""A run on Weights & Biases: one per search or later stage, with its ordinary trainings beside it in one group."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import wandb
from lightning.pytorch.loggers import WandbLogger

from smash_lightning.report.board import Board, Training, Value
from smash_lightning.report.chart import over_table
from smash_lightning.report.wandb_identity import Identity, identify, read_identity
from smash_lightning.report.wandb_mode import choose_mode
from smash_lightning.report.wandb_trainings import Shown, WandbTrainings, finite


class WandbRun(WandbLogger, Board):
    """Lightning's logger of W&B that can show all that a `Board` can.

    Args:
        folder: of the run.
        identity: which run it is.
        options: what `wandb.init` is given for this run and for its trainings.
        trainings: which trainings are runs of their own.
        charts: account under which our charts are published; None for W&B's ready ones.
        own: what `wandb.init` is given for this run alone.
    """

    def __init__(
        self,
        folder: Path,
        identity: Identity,
        options: Mapping[str, Any],
        trainings: Shown,
        charts: str | None,
        own: Mapping[str, Any],
    ) -> None:
        super().__init__(save_dir=folder, id=identity.run, **options, **own)
        self._wandb_init.pop("anonymous", None)  # Lightning passes it on, W&B no longer knows it and says so
        self._folder, self._identity, self._charts = folder, identity, charts
        self._trainings = WandbTrainings(trainings, identity.run, {**options, "dir": str(folder)})
        self._known: set[str] = set()  # metrics whose axis W&B knows

    @property
    def _run(self) -> Any:
        """The run, opened at first use."""
        if self._experiment is None and self._wandb_init["mode"] != "disabled":
            self._identity.write(self._folder)  # before: an interrupted run has an id as well
        return self.experiment

    def config(self, values: Mapping[str, Any]) -> None:
        """Hyperparameters."""
        self._run.config.update(dict(values), allow_val_change=True)  # a resumed run may have another logger

    def metrics(self, prefix: str, values: Mapping[str, float], step: int) -> None:
        """Live metrics as `prefix/name`, over `prefix/step`."""
        run, axis = self._run, f"{prefix}/step"
        named = {f"{prefix}/{name}": value for name, value in values.items()}
        if axis not in self._known:
            run.define_metric(axis, hidden=True)
        for name in named.keys() - self._known:
            run.define_metric(name, step_metric=axis)
        self._known |= named.keys() | {axis}
        run.log({**named, axis: step})

    def summary(self, values: Mapping[str, Value]) -> None:
        """The run's summary."""
        self._run.summary.update({name: finite(value) for name, value in values.items()})

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Value]]) -> None:
        """A table. What is not finite becomes an empty cell, as JSON knows no NaN."""
        # A column may begin with whole numbers or empty cells and go on with others.
        self._run.log({name: wandb.Table(columns=list(columns), data=_plain(rows), allow_mixed_types=True)})

    def gallery(
        self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Value]], drawings: Sequence[str]
    ) -> None:
        """A table with a drawing in each row."""
        table = wandb.Table(columns=[*columns, "drawing"])  # with types, or W&B would not know a drawing
        for row, drawing in zip(_plain(rows), drawings, strict=True):
            table.add_data(*row, _html(drawing))
        self._run.log({name: table})

    def chart(self, name: str, kind: str, rows: Sequence[Sequence[Value]], texts: Mapping[str, str]) -> None:
        """A chart; its table is `name_table`."""
        self._run.log({name: over_table(kind, _plain(rows), self._charts, texts)})

    def image(self, name: str, path: Path) -> None:
        """A PNG picture."""
        self._run.log({name: wandb.Image(str(path))})

    def page(self, name: str, path: Path) -> None:
        """A page or an SVG drawing."""
        self._run.log({name: _html(path.read_text(encoding="utf-8"))})

    def artifact(self, name: str, kind: str, paths: Sequence[Path], inputs: Sequence[tuple[str, Path]]) -> None:
        """Files under the name `name-RUN`; its metadata name the inputs, and online W&B draws them as its lineage."""
        sources = [f"{source}-{self._of(folder)}" for source, folder in inputs]
        for source in sources:
            self._use(source)
        metadata = {"inputs": sources, "run": self._identity.run}
        artifact = wandb.Artifact(f"{name}-{self._identity.run}", type=kind, metadata=metadata)
        for path in paths:  # immutable: uploaded from where they lie, not from a copy in the user's home
            if path.is_dir():
                artifact.add_dir(str(path), name=path.name, policy="immutable", skip_cache=True)
            else:
                artifact.add_file(str(path), policy="immutable", skip_cache=True)
        self._run.log_artifact(artifact)

    def training(self, training: Training) -> None:
        """An ordinary training as a run of its own."""
        self._run  # noqa: B018 (opened first, so that theirs never is the run of this process)
        self._trainings.add(training)

    def end(self, *, failed: bool) -> None:
        """Ends the trainings' runs and this one; as failed means with exit code 1."""
        try:
            self._trainings.finish()
        finally:
            if self._experiment is not None:
                self._experiment.finish(exit_code=int(failed))

    def _of(self, folder: Path) -> str:
        """The run of another folder, by its folder's name where it was never shown on W&B."""
        if folder.resolve() == self._folder.resolve():
            return self._identity.run
        identity = read_identity(folder)
        return identity.run if identity else folder.resolve().name

    def _use(self, name: str) -> None:
        """Tells W&B that this run builds on an artifact of another one, which it may not have."""
        if name.endswith(f"-{self._identity.run}") or self._wandb_init["mode"] != "online":
            return  # offline W&B refuses to be told
        with suppress(wandb.Error, ValueError):
            self._run.use_artifact(f"{name}:latest")


def wandb_logger(
    folder: Path | str,
    project: str,
    entity: str | None = None,
    name: str | None = None,
    group: str | None = None,
    tags: Sequence[str] = (),
    mode: str = "auto",
    trainings: Shown = "all",
    charts: str | None = None,
    task: str = "",
    about: Sequence[str] = (),
    sweep: str | None = None,
    checkpoint: str | None = None,
) -> WandbRun:
    """A logger of W&B that asks nothing and prints nothing.

    Args:
        folder: the run's folder; everything that W&B writes lies below it, so that an offline run can be moved and
            uploaded later with `wandb sync FOLDER/wandb/offline-run-*`. A run that is resumed there has the same id.
        project: on W&B.
        entity: user or team; the account's default if None.
        name: of the run; W&B invents one if None.
        group: of runs that belong together; if None, that of the sweep, that of the run which `checkpoint` names, or
            the run's own id.
        tags: of the run and its trainings.
        mode: auto, online, offline or disabled. Auto is online where an API key is found (WANDB_API_KEY or .netrc),
            the server answers and WANDB_MODE does not say otherwise; else offline.
        trainings: which ordinary trainings are runs of their own.
        charts: account under which our charts are published; None for W&B's ready ones.
        task: dotted name of what is run; its last part is the job type.
        about: further tags that the configuration gives, dotted names by their last part.
        sweep: folder of the sweep that the run may be of.
        checkpoint: what the run goes on from.

    Raises:
        ValueError: an unknown mode or choice of trainings, or online without an API key.
    """
    home = Path(folder)
    # W&B reads these from the environment alone. By default they lie in the user's home, which may be read-only.
    os.environ["WANDB_DATA_DIR"] = os.environ["WANDB_CACHE_DIR"] = str(home.resolve() / "wandb")
    places = [None if place is None else Path(place) for place in (sweep, checkpoint)]
    identity = identify(home, group, *places)
    options = {
        "project": project,
        "entity": entity,
        "group": identity.group,
        "tags": list(dict.fromkeys(tag.rsplit(".", 1)[-1] for tag in about)) + list(tags),
        "mode": choose_mode(mode),  # Lightning's `offline=True` would set WANDB_MODE for all later runs of the process
    }
    own = {
        "name": name,
        "job_type": task.rsplit(".", 1)[-1] or None,
        "settings": wandb.Settings(silent=True, console="off"),
    }
    return WandbRun(home, identity, options, trainings, charts, own)


def _plain(rows: Sequence[Sequence[Value]]) -> list[list[Value]]:
    return [[finite(value) for value in row] for row in rows]


def _html(text: str) -> Any:
    return wandb.Html(text, inject=False, data_is_not_path=True)
