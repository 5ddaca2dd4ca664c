"""Hands results to whichever Lightning loggers a run has: W&B, CSV, TensorBoard, several or none.

A run's own files are the source of truth; what is logged here is a copy for looking at. Only the main process logs.
"""

from __future__ import annotations

import math
import netrc
import os
import socket
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import wandb
from lightning.pytorch.loggers import Logger, TensorBoardLogger, WandbLogger
from matplotlib.image import imread

from smash_lightning.report.chart import READY, over_table

MODES = ("auto", "online", "offline", "disabled")
PATIENCE = 2.0  # seconds for a server to answer; W&B itself would wait for minutes
Value = float | int | str | None


class Tracker:
    """Logs to all loggers what each of them can show; a context manager that closes them whatever happens.

    Args:
        loggers: Lightning loggers, of W&B at most one.
        chart: the chart definition of `scatter` on W&B: its ready one, or what `report.chart.publish` returned.

    Raises:
        ValueError: two loggers of W&B.
    """

    def __init__(self, loggers: Sequence[Logger], chart: str = READY) -> None:
        wandb_loggers = [logger for logger in loggers if isinstance(logger, WandbLogger)]
        if len(wandb_loggers) > 1:
            raise ValueError(f"{len(wandb_loggers)} loggers of W&B would share one run: give one")
        self.loggers, self.chart = tuple(loggers), chart
        self._wandb = wandb_loggers[0] if wandb_loggers else None
        self._others = [logger for logger in loggers if logger is not self._wandb]
        self._known: set[str] = set()  # metrics whose axis W&B knows
        self._last_step = 0

    def __enter__(self) -> Tracker:
        return self

    def __exit__(self, kind: type | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.finish("success" if kind is None else "failed")

    def config(self, values: Mapping[str, Any]) -> None:
        """Hyperparameters: plain values and plain containers of them."""
        for logger in self.loggers:
            logger.log_hyperparams(dict(values))
            logger.save()

    def log(self, prefix: str, metrics: Mapping[str, float], step: int) -> None:
        """Live metrics of one of several trainings that run side by side, as `prefix/name`.

        Args:
            prefix: names the training, such as "hypernet0"; on W&B each has a step axis of its own.
            metrics: numbers by name.
            step: of this training.
        """
        self._last_step = max(self._last_step, step)
        named = {f"{prefix}/{name}": value for name, value in metrics.items()}
        if self._wandb is not None:
            run, axis = self._wandb.experiment, f"{prefix}/step"
            if axis not in self._known:
                run.define_metric(axis, hidden=True)
            for name in named.keys() - self._known:
                run.define_metric(name, step_metric=axis)
            self._known |= named.keys() | {axis}
            run.log({**named, axis: step})
        self._log_elsewhere(named, step)

    def summary(self, values: Mapping[str, Value]) -> None:
        """The run's figures at its end: its summary on W&B; elsewhere the numbers among them as last metrics."""
        if self._wandb is not None:
            self._wandb.experiment.summary.update({name: _finite(value) for name, value in values.items()})
        numbers = {name: value for name, value in values.items() if isinstance(value, int | float)}
        self._log_elsewhere(numbers, self._last_step)

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Value]]) -> None:
        """A table, on W&B only. What is not finite becomes an empty cell, as JSON knows no NaN."""
        if self._wandb is not None:
            data = [[_finite(value) for value in row] for row in rows]
            # A column may begin with whole numbers or empty cells and go on with others.
            table = wandb.Table(columns=list(columns), data=data, allow_mixed_types=True)
            self._wandb.experiment.log({name: table})

    def scatter(
        self,
        name: str,
        title: str,
        *,
        fingerprint: Sequence[str],
        score: Sequence[float],
        truth: Sequence[float],
        standard_error: Sequence[float],
        arm: Sequence[str],
        x: str = "score",
        y: str = "truth",
    ) -> None:
        """Score against truth as a chart over a logged table, on W&B only.

        Args:
            name: of the chart; its table is `name_table`.
            title: above the chart.
            fingerprint: the architectures, (n,).
            score: what was predicted, (n,).
            truth: what came true, (n,).
            standard_error: of `truth`, in its unit, (n,); NaN where unknown.
            arm: why each was trained: top, spread, random; joined by "+", (n,).
            x: what the score is, with its unit.
            y: what the truth is, with its unit.

        Raises:
            ValueError: the columns are of different lengths.
        """
        if self._wandb is not None:
            points = zip(fingerprint, score, truth, standard_error, arm, strict=True)
            rows = [[_finite(value) for value in point] for point in points]
            self._wandb.experiment.log({name: over_table(rows, self.chart, title, x, y)})

    def image(self, name: str, path: Path) -> None:
        """A picture: PNG on W&B and TensorBoard, SVG on W&B.

        Raises:
            ValueError: another kind of file.
        """
        if path.suffix not in (".png", ".svg"):
            raise ValueError(f"{path}: pictures are logged as .png or .svg")
        if path.suffix == ".svg":
            self.page(name, path)
            return
        if self._wandb is not None:
            self._wandb.experiment.log({name: wandb.Image(str(path))})
        for logger in self._others:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_image(name, imread(path)[..., :3], self._last_step, dataformats="HWC")

    def page(self, name: str, path: Path) -> None:
        """A self-contained HTML page or an SVG drawing, on W&B only."""
        if self._wandb is not None:
            page = wandb.Html(path.read_text(encoding="utf-8"), inject=False, data_is_not_path=True)
            self._wandb.experiment.log({name: page})

    def artifact(self, name: str, kind: str, paths: Sequence[Path]) -> None:
        """Files kept together under a name, on W&B only.

        Args:
            name: letters, digits, dashes, underscores and dots.
            kind: what they are, such as "ranking" or "model".
            paths: files and folders that stay as they are until the run has been uploaded.
        """
        if self._wandb is not None:
            artifact = wandb.Artifact(name, type=kind)
            for path in paths:  # immutable: uploaded from where they lie, not from a copy in the user's home
                if path.is_dir():
                    artifact.add_dir(str(path), name=path.name, policy="immutable", skip_cache=True)
                else:
                    artifact.add_file(str(path), policy="immutable", skip_cache=True)
            self._wandb.experiment.log_artifact(artifact)

    def finish(self, status: str = "success") -> None:
        """Closes all loggers and ends W&B's run, so that the next job of this process gets one of its own.

        Args:
            status: "success", or else the run ends with exit code 1 on W&B.
        """
        try:
            for logger in self.loggers:
                logger.finalize(status)
        finally:
            if self._wandb is not None and wandb.run is not None:
                wandb.finish(exit_code=0 if status == "success" else 1)

    def _log_elsewhere(self, metrics: Mapping[str, float], step: int) -> None:
        for logger in self._others:
            logger.log_metrics(dict(metrics), step)
            logger.save()  # or a killed run leaves nothing behind


def wandb_logger(
    folder: Path | str,
    project: str,
    entity: str | None = None,
    name: str | None = None,
    group: str | None = None,
    tags: Sequence[str] = (),
    mode: str = "auto",
) -> WandbLogger:
    """A logger of W&B that asks nothing and prints nothing.

    Args:
        folder: the run's folder; everything that W&B writes lies below it, so that an offline run can be moved and
            uploaded later with `wandb sync FOLDER/wandb/offline-run-*`.
        project: on W&B.
        entity: user or team; the account's default if None.
        name: of the run; W&B invents one if None.
        group: of runs that belong together, such as a sweep.
        tags: of the run.
        mode: auto, online, offline or disabled. Auto is online where an API key is found (WANDB_API_KEY or .netrc),
            the server answers and WANDB_MODE does not say otherwise; else offline.

    Raises:
        ValueError: an unknown mode, or online without an API key.
    """
    chosen = _mode(mode)
    # W&B reads these from the environment alone. By default they lie in the user's home, which may be read-only.
    os.environ["WANDB_DATA_DIR"] = os.environ["WANDB_CACHE_DIR"] = str(Path(folder).resolve() / "wandb")
    logger = WandbLogger(
        save_dir=folder,
        project=project,
        entity=entity,
        name=name,
        group=group,
        tags=list(tags),
        mode=chosen,  # Lightning's `offline=True` would set WANDB_MODE for all later runs of the process
        settings=wandb.Settings(silent=True, console="off"),
    )
    logger._wandb_init.pop("anonymous", None)  # Lightning passes it on, W&B no longer knows it and says so
    return logger


def _mode(mode: str) -> str:
    if mode not in MODES:
        raise ValueError(f"unknown mode {mode!r} for W&B: one of {', '.join(MODES)}")
    if mode == "online" and not _has_key():
        raise ValueError("W&B online needs an API key: run `wandb login`, set WANDB_API_KEY, or use the mode auto")
    if mode != "auto":
        return mode
    wish = os.environ.get("WANDB_MODE", "online")
    if wish == "disabled":
        return wish
    online = wish not in ("offline", "dryrun") and _has_key() and _answers(_server())
    return "online" if online else "offline"


def _server() -> str:
    return os.environ.get("WANDB_BASE_URL") or wandb.setup().settings.base_url


def _has_key() -> bool:
    if os.environ.get("WANDB_API_KEY"):
        return True
    path = Path(os.environ.get("NETRC") or "~/.netrc").expanduser()
    with suppress(OSError, netrc.NetrcParseError):
        machines = netrc.netrc(path).hosts
        return bool({urlsplit(_server()).netloc, "api.wandb.ai"} & machines.keys())
    return False


def _answers(url: str) -> bool:
    """Whether the server, or the proxy before it, accepts a connection within `PATIENCE`, name look-up included."""
    server = urlsplit(url)
    proxy = "" if proxy_bypass(server.hostname or "") else getproxies().get(server.scheme, "")
    target = urlsplit(proxy if "://" in proxy else f"//{proxy}") if proxy else server
    address = (target.hostname, target.port or (80 if target.scheme == "http" else 443))
    connected = threading.Event()

    def knock() -> None:
        with suppress(OSError), socket.create_connection(address, PATIENCE):
            connected.set()

    thread = threading.Thread(target=knock, daemon=True)  # a look-up of a name cannot be given a time limit
    thread.start()
    thread.join(PATIENCE)
    return connected.is_set()


def _finite(value: Value) -> Value:
    return None if isinstance(value, float) and not math.isfinite(value) else value
