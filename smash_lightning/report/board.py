"""What a logger can do that shows more than numbers: tables, charts, pages, artifacts and runs within a run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Value = float | int | str | None


@dataclass(frozen=True, slots=True)
class Training:
    """One ordinary training, as a run of its own shows it.

    Args:
        name: unique among the trainings of a run, such as "FINGERPRINT-SEED".
        config: what was trained, and how; plain values and plain containers of them.
        history: what it logged, with the step of each.
        summary: its figures at the end.
        top: whether it is of the shortlist.
        failed: whether it ended early.
    """

    name: str
    config: Mapping[str, Any]
    history: Sequence[tuple[Mapping[str, float], int]]
    summary: Mapping[str, Value]
    top: bool
    failed: bool = False


class Board(ABC):
    """One run on a service that shows it, opened at first use. `Tracker` describes what the arguments are."""

    @abstractmethod
    def config(self, values: Mapping[str, Any]) -> None:
        """Hyperparameters."""

    @abstractmethod
    def metrics(self, prefix: str, values: Mapping[str, float], step: int) -> None:
        """Live metrics as `prefix/name`, on a step axis of their own."""

    @abstractmethod
    def summary(self, values: Mapping[str, Value]) -> None:
        """The run's figures at its end."""

    @abstractmethod
    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Value]]) -> None:
        """A table."""

    @abstractmethod
    def gallery(
        self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Value]], drawings: Sequence[str]
    ) -> None:
        """A table whose last column, "drawing", shows an SVG drawing in each row."""

    @abstractmethod
    def chart(self, name: str, kind: str, rows: Sequence[Sequence[Value]], texts: Mapping[str, str]) -> None:
        """A chart of a kind that `smash_lightning.report.chart` defines, over a table with that kind's columns."""

    @abstractmethod
    def image(self, name: str, path: Path) -> None:
        """A PNG picture."""

    @abstractmethod
    def page(self, name: str, path: Path) -> None:
        """A self-contained HTML page or an SVG drawing."""

    @abstractmethod
    def artifact(self, name: str, kind: str, paths: Sequence[Path], inputs: Sequence[tuple[str, Path]]) -> None:
        """Files kept together under a name, made from other artifacts, each with the folder of the run that made it."""

    @abstractmethod
    def training(self, training: Training) -> None:
        """An ordinary training as a run of its own, in the same group."""

    @abstractmethod
    def end(self, *, failed: bool) -> None:
        """Ends the run, so that the next job of this process gets one of its own."""
