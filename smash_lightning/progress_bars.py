"""Progress bars of several processes."""

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class ProgressBars:
    """A bar of `totals` steps for each of `labels`; without a terminal only the last state is printed."""

    def __init__(self, labels: list[str], totals: list[int]) -> None:
        columns = (TextColumn("{task.description:<24}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._progress = Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), refresh_per_second=4)
        self._bars = [self._progress.add_task(label, total=total) for label, total in zip(labels, totals, strict=True)]

    def __enter__(self) -> "ProgressBars":
        self._progress.start()
        return self

    def __exit__(self, kind: type | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self._progress.stop()

    def show(self, bar: int, done: int, total: int | None = None) -> None:
        """Sets the finished steps of a bar, and its total if that has changed."""
        self._progress.update(self._bars[bar], completed=done, total=total)
