"""What all figures share: colours, sizes, how an interval is written, and axes without clutter."""

from __future__ import annotations

from matplotlib.axes import Axes

Interval = tuple[float, float, float]  # value, lower end, upper end

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#595959"  # Okabe and Ito's, safe for the colour-blind
PURPLE, SKY, BLACK, YELLOW = "#CC79A7", "#56B4E9", "#000000", "#E69F00"
TEXT, LABEL, TITLE = 12, 13, 14  # points
WIDTH = 12.8  # inches: a report shows a figure at a little over half its size, 12 points as 14 pixels
DPI = 150


def words(interval: Interval | None, decimals: int = 2) -> str:
    """An interval as in '0.57 [0.35, 0.74]'."""
    if interval is None:
        return "undefined"
    value, low, high = (f"{number:.{decimals}f}".replace("-", "\N{MINUS SIGN}") for number in interval)
    return f"{value} [{low}, {high}]"


def tidy(axes: Axes) -> None:
    """Sizes of text, and no box around the axes."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=TEXT)
    axes.xaxis.label.set_fontsize(LABEL)
    axes.yaxis.label.set_fontsize(LABEL)
