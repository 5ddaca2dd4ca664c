"""Progress bars of work that runs in several places."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


class ProgressBars:
    """One bar for each of `labels`, in order; only the last state is printed where there is no terminal.

    Args:
        labels: what each bar counts.
        totals: steps of each.
    """

    def __init__(self, labels: list[str], totals: list[int]) -> None:
        columns = (TextColumn("{task.description:<24}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._progress = Progress(
            *columns,
            TimeRemainingColumn(),
            console=Console(stderr=True),
            refresh_per_second=4,
        )
        self._bars: list[TaskID] = [
            self._progress.add_task(label, total=total) for label, total in zip(labels, totals, strict=True)
        ]

    def __enter__(self) -> ProgressBars:
        self._progress.start()
        return self

    def __exit__(self, kind: type | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self._progress.stop()

    def show(self, bar: int, done: int, total: int | None = None) -> None:
        """RawDataset how far a bar has come, and what it counts up to where that has changed."""
        self._progress.update(self._bars[bar], completed=done, total=total)
