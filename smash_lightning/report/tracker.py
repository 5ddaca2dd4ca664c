"""Hands results to whichever loggers a run has: W&B, CSV, TensorBoard, MLflow, several or none.

A run's own files are the source of truth; what is logged here is a copy for looking at. Only the main process logs.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from lightning.pytorch.loggers import Logger, MLFlowLogger, TensorBoardLogger
from matplotlib.image import imread

from smash_lightning.report.board import Board, Training
from smash_lightning.report.board import Value as Value


class Tracker:
    """Logs to all loggers what each of them can show; a context manager that closes them whatever happens.

    Args:
        loggers: Lightning loggers, of those that are a `Board`, such as W&B's, at most one.

    Raises:
        ValueError: two loggers of W&B.
    """

    def __init__(self, loggers: Sequence[Logger]) -> None:
        boards = [logger for logger in loggers if isinstance(logger, Board)]
        if len(boards) > 1:
            raise ValueError(f"{len(boards)} loggers of W&B would share one run: give one")
        self._board = boards[0] if boards else None
        self._others = [logger for logger in loggers if not isinstance(logger, Board)]
        self._lost = False  # whether the board failed
        self._last_step = 0

    def __enter__(self) -> Tracker:
        return self

    def __exit__(self, kind: type | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.finish("success" if kind is None else "failed")

    def config(self, values: Mapping[str, Any]) -> None:
        """Hyperparameters: plain values and plain containers of them."""
        self._show(lambda board: board.config(values))
        for logger in self._others:
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
        self._show(lambda board: board.metrics(prefix, metrics, step))
        self._log_elsewhere({f"{prefix}/{name}": value for name, value in metrics.items()}, step)

    def summary(self, values: Mapping[str, Value]) -> None:
        """The run's figures at its end: its summary on W&B; elsewhere the numbers among them as last metrics."""
        self._show(lambda board: board.summary(values))
        numbers = {name: value for name, value in values.items() if isinstance(value, int | float)}
        self._log_elsewhere(numbers, self._last_step)

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Value]]) -> None:
        """A table, on W&B only."""
        self._show(lambda board: board.table(name, columns, rows))

    def gallery(
        self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Value]], drawings: Sequence[str]
    ) -> None:
        """A table with an SVG drawing in each row, on W&B only."""
        self._show(lambda board: board.gallery(name, columns, rows, drawings))

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
        rows = list(zip(fingerprint, score, truth, standard_error, arm, strict=True))
        self._show(lambda board: board.chart(name, "scatter", rows, {"title": title, "x": x, "y": y}))

    def intervals(self, name: str, title: str, rows: Sequence[tuple[str, float, float, float]], x: str) -> None:
        """Estimates with their intervals side by side, on W&B only.

        Args:
            name: of the chart; its table is `name_table`.
            title: above the chart.
            rows: of each: its name, value, lower and upper end.
            x: what is estimated.
        """
        self._show(lambda board: board.chart(name, "intervals", rows, {"title": title, "x": x}))

    def lines(self, name: str, title: str, rows: Sequence[tuple[str, float, float]], x: str, y: str) -> None:
        """Several lines, on W&B only.

        Args:
            name: of the chart; its table is `name_table`.
            title: above the chart.
            rows: points: the line's name, x and y.
            x: title of the axis.
            y: title of the axis.
        """
        self._show(lambda board: board.chart(name, "lines", rows, {"title": title, "x": x, "y": y}))

    def image(self, name: str, path: Path) -> None:
        """A picture: PNG on W&B, TensorBoard and MLflow, SVG on W&B and MLflow.

        Raises:
            ValueError: another kind of file.
        """
        if path.suffix not in (".png", ".svg"):
            raise ValueError(f"{path}: pictures are logged as .png or .svg")
        if path.suffix == ".svg":
            self.page(name, path)
            return
        self._show(lambda board: board.image(name, path))
        for logger in self._others:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_image(name, imread(path)[..., :3], self._last_step, dataformats="HWC")
        self._file_elsewhere(path)

    def page(self, name: str, path: Path) -> None:
        """A self-contained HTML page or an SVG drawing, on W&B and MLflow."""
        self._show(lambda board: board.page(name, path))
        self._file_elsewhere(path)

    def artifact(self, name: str, kind: str, paths: Sequence[Path], inputs: Sequence[tuple[str, Path]] = ()) -> None:
        """Files kept together under a name, on W&B only.

        Args:
            name: letters, digits, dashes, underscores and dots.
            kind: what they are, such as "ranking" or "model".
            paths: files and folders that stay as they are until the run has been uploaded.
            inputs: names of the artifacts that it was made from, each with the folder of the run that made it.
        """
        self._show(lambda board: board.artifact(name, kind, paths, inputs))

    def training(self, training: Training) -> None:
        """An ordinary training that has ended, as a run of its own beside this one, on W&B only."""
        self._show(lambda board: board.training(training))

    def finish(self, status: str = "success") -> None:
        """Closes all loggers and ends W&B's run, so that the next job of this process gets one of its own.

        Args:
            status: "success", or else the run ends with exit code 1 on W&B.
        """
        try:
            for logger in self._others:
                logger.finalize(status)
        finally:
            self._lost = False  # it may yet end what it began
            self._show(lambda board: board.end(failed=status != "success"))

    def _show(self, action: Callable[[Board], None]) -> None:
        """Whatever a service on the network answers, the work goes on: our own files hold everything."""
        if self._board is None or self._lost:
            return
        try:
            action(self._board)
        except Exception as error:
            self._lost = True
            reason = " ".join(str(error).split()) or type(error).__name__
            print(f"W&B failed, and the run goes on without it: {reason}. Its own files hold all", file=sys.stderr)

    def _log_elsewhere(self, metrics: Mapping[str, float], step: int) -> None:
        for logger in self._others:
            logger.log_metrics(dict(metrics), step)
            logger.save()  # or a killed run leaves nothing behind

    def _file_elsewhere(self, path: Path) -> None:
        for logger in self._others:
            if isinstance(logger, MLFlowLogger):
                logger.experiment.log_artifact(logger.run_id, str(path))
