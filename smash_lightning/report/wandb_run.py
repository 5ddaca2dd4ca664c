"""The logger of Weights & Biases: one run per run folder, offline without a key or a network."""

import json
import math
import netrc
import os
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import pandas as pd
import requests
import wandb
from lightning.pytorch.loggers import WandbLogger

from smash_lightning.files import write_text
from smash_lightning.run_folder import source_run

SECONDS = 2.0  # within which a server has to answer; W&B itself would wait for minutes
IDENTITY = Path("wandb", "run.json")  # in a run folder
SCATTER = "score_and_test_error"  # a chart
MEASURED = ("true_error", "true_error_top5", "true_loss", "epochs", "seconds")  # of a standalone training
LONGEST_TAG = 64  # characters that W&B accepts


class WandbRun(WandbLogger):
    """Lightning's logger for W&B that keeps its id and group in the run folder, so that a resumed run has the same.

    Everything that W&B writes is below `folder`, and can be uploaded later with `wandb sync`. `identity` holds `run`
    (id) and `group`; `separate_trainings` is whether each standalone training is a run of its own.
    """

    def __init__(
        self, folder: Path, identity: dict[str, str], settings: wandb.Settings, separate_trainings: bool
    ) -> None:
        super().__init__(save_dir=folder, id=identity["run"], project=settings.project, settings=settings)
        self._wandb_init.pop("anonymous", None)  # Lightning passes it on, W&B no longer accepts it
        self.folder, self.identity, self.mode = folder, identity, settings.mode
        self.separate_trainings = separate_trainings
        self._axes: set[str] = set()  # metrics whose step axis W&B has

    @property
    def experiment(self) -> Any:
        """The run on W&B, opened at first use."""
        if self._experiment is None and self.mode != "disabled":
            (self.folder / IDENTITY).parent.mkdir(parents=True, exist_ok=True)
            # Before opening: an interrupted run has an id as well.
            write_text(self.folder / IDENTITY, json.dumps(self.identity) + "\n")
        return super().experiment

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Metrics named `prefix/name`, over the axis `prefix/step`."""
        axis = f"{next(iter(metrics)).split('/')[0]}/step"
        if axis not in self._axes:
            self.experiment.define_metric(axis, hidden=True)
        for name in metrics.keys() - self._axes:
            self.experiment.define_metric(name, step_metric=axis)
        self._axes |= {*metrics, axis}
        self.experiment.log({**metrics, axis: step})

    def log_results(self, folder: Path, paths: Sequence[Path], numbers: Mapping[str, float]) -> None:
        """Tables, pictures and pages of a finished run, its main numbers, and score against ground truth."""
        for path in paths:
            name = path.stem if path.suffix == ".csv" else path.name.replace(".", "_")
            self.experiment.log({name: _shown(path)})
        self.experiment.summary.update(dict(numbers))
        tables = {path.stem: pd.read_csv(path) for path in paths if path.suffix == ".csv"}
        if tables.keys() >= {"ranking", "retrained"}:
            scored = tables["ranking"][["fingerprint", "smash_score"]]
            errors = tables["retrained"].groupby("fingerprint")["true_error"].mean().dropna().reset_index()
            table = _table(scored.merge(errors))
            title = "SMASH score and test error, %"
            self.experiment.log({SCATTER: wandb.plot.scatter(table, "smash_score", "true_error", title)})

    def keep(self, name: str, kind: str, paths: Sequence[Path], used: Sequence[tuple[str, Path]]) -> None:
        """Publishes files as an artifact, see `Tracker.artifact`."""
        own, sources = self.identity["run"], []
        for source, folder in used:
            run = (read_identity(folder) or {}).get("run")
            sources.append(f"{source}-{run or folder.resolve().name}")
            if self.mode == "online" and run != own:
                with suppress(wandb.Error, ValueError):  # that run may never have been uploaded
                    self.experiment.use_artifact(f"{sources[-1]}:latest")
        artifact = wandb.Artifact(f"{name}-{own}", type=kind, metadata={"inputs": sources, "run": own})
        for path in paths:  # immutable: uploaded from the run folder, not from a copy in the user's home
            if path.is_dir():
                artifact.add_dir(str(path), name=path.name, policy="immutable", skip_cache=True)
            else:
                artifact.add_file(str(path), policy="immutable", skip_cache=True)
        self.experiment.log_artifact(artifact)

    def log_trainings(self, table: pd.DataFrame, history: pd.DataFrame) -> None:
        """Standalone trainings as runs in the group of this one, see `Tracker.trainings`; each one once."""
        if not self.separate_trainings:
            return
        for row in table.to_dict("records"):
            name = f"{row['fingerprint']}-{row['seed']}"
            if any(self.folder.glob(f"wandb/*run-*-{self.identity['run']}-{name}")):
                continue  # before this run was resumed
            measured, failure = {key: row.pop(key) for key in MEASURED}, row.pop("failure")
            options = {"id": f"{self.identity['run']}-{name}", "name": name, "job_type": "training", "config": row}
            own = wandb.init(**self._wandb_init | options | {"reinit": "create_new"})
            mine = (history["fingerprint"] == row["fingerprint"]) & (history["seed"] == row["seed"])
            for step, loss in zip(history["step"][mine], history["epoch_loss"][mine], strict=True):
                own.log({"epoch_loss": loss}, step=step)
            own.summary.update({key: one for key, one in measured.items() if math.isfinite(one)} | {"failure": failure})
            own.finish(exit_code=int(bool(failure)))

    def finalize(self, status: str) -> None:
        """Ends the run on W&B, so that the next job of this process opens one of its own."""
        if self._experiment is not None:
            self._experiment.finish(exit_code=int(status != "success"))
            self._experiment = None


def wandb_logger(
    folder: Path | str,
    project: str,
    entity: str | None = None,
    name: str | None = None,
    group: str | None = None,
    tags: Sequence[str] = (),
    mode: str = "auto",
    trainings: Literal["rows", "runs"] = "rows",
    task: str = "",
    about: Sequence[str] = (),
    sweep: str | None = None,
    checkpoint: str | None = None,
) -> WandbRun:
    """A logger of W&B that needs no input and prints nothing; conf/logger/wandb.yaml describes the options.

    Raises:
        ValueError: online without an API key, or a mode, project or tag that W&B refuses.
    """
    home = Path(folder)
    # W&B reads these from the environment alone. By default they are in the user's home, which may be read-only.
    os.environ["WANDB_DATA_DIR"] = os.environ["WANDB_CACHE_DIR"] = str(home.resolve() / "wandb")
    found = read_identity(home) or {"run": secrets.token_hex(4), "group": _group_of(home, sweep, checkpoint)}
    identity = {"run": found["run"], "group": group or found["group"] or found["run"]}
    named = {"project": project, "entity": entity, "run_name": name, "run_group": identity["group"]}
    short = (tag.rsplit(".", 1)[-1][:LONGEST_TAG] for tag in about)
    shown = {"run_tags": tuple(dict.fromkeys([*short, *tags])), "run_job_type": task.rsplit(".", 1)[-1] or None}
    try:
        # Lightning's `offline=True` would set WANDB_MODE for all later runs of the process.
        settings = wandb.Settings(**named, **shown, mode=choose_mode(mode), silent=True, console="off")
    except (wandb.errors.UsageError, ValueError) as error:
        raise ValueError(f"logger.wandb: {error}") from None
    return WandbRun(home, identity, settings, trainings == "runs")


def read_identity(folder: Path) -> dict[str, str] | None:
    """Id and group of a folder's run on W&B; None where it was never logged there."""
    with suppress(OSError, ValueError):
        plain = json.loads((folder / IDENTITY).read_text(encoding="utf-8"))
        if isinstance(plain, dict) and plain.keys() == {"run", "group"}:
            return plain
    return None


def choose_mode(mode: str) -> str:
    """The mode that `auto` means here, decided within seconds; others are kept.

    Raises:
        ValueError: online without an API key.
    """
    if mode == "online" and not has_key():
        raise ValueError("W&B online needs an API key: run `wandb login`, set WANDB_API_KEY, or use the mode auto")
    if mode == "auto":
        mode = os.environ.get("WANDB_MODE", "online")
        if mode == "online" and not (has_key() and _answers()):
            return "offline"
    return mode


def has_key() -> bool:
    """Whether an API key is in the environment (WANDB_API_KEY) or in .netrc."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    path = Path(os.environ.get("NETRC") or "~/.netrc").expanduser()
    with suppress(OSError, netrc.NetrcParseError):
        return urlsplit(_server()).netloc in netrc.netrc(path).hosts
    return False


def _server() -> str:
    return os.environ.get("WANDB_BASE_URL") or wandb.setup().settings.base_url


def _answers() -> bool:
    """Whether the server answers, through a proxy where the environment names one."""
    with suppress(requests.RequestException):
        requests.head(_server(), timeout=SECONDS)
        return True
    return False


def _group_of(folder: Path, sweep: str | None, checkpoint: str | None) -> str:
    """The group that a new run joins; empty for a new group."""
    if sweep is not None and folder.resolve().is_relative_to(Path(sweep).resolve()):
        return "-".join(Path(sweep).resolve().parts[-2:])  # by default the day and the time
    if checkpoint is None:
        return ""
    joined = read_identity(source_run(Path(checkpoint)))
    return joined["group"] if joined else ""


def _shown(path: Path) -> Any:
    """A CSV file as a table, a PNG picture, a page or an SVG drawing."""
    if path.suffix == ".csv":
        return _table(pd.read_csv(path))
    if path.suffix == ".png":
        return wandb.Image(str(path))
    return wandb.Html(path.read_text(encoding="utf-8"), inject=False, data_is_not_path=True)


def _table(frame: pd.DataFrame) -> wandb.Table:
    """A table of W&B; what is not finite becomes an empty cell, as JSON has no NaN."""
    plain = frame.astype(object).where(frame.notna(), None).replace([math.inf, -math.inf], None)
    return wandb.Table(dataframe=plain, allow_mixed_types=True)
