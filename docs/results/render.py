"""Writes the tables of README.md and docs/*.md from docs/results/*.json: python docs/results/render.py.

A table is between `<!-- results: docs/results/NAME.json TABLE -->` and `<!-- end of results -->`. TABLE is one of
`TABLES` below, `verdict`, `pooled`, `conflict`, `gains`, or `lines`, which is the main part of the summary with a line
for each run; without it, the summary. Both of the latter have the source of their figures. The first column of several
runs is their mean and standard deviation.
"""

import json
import re
import statistics
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from collect import markdown

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"(<!-- results: (\S+?)(?: (\S+))? -->\n)(.*?)(<!-- end of results -->)", re.DOTALL)
MISSING = "*These runs are not published yet.*"
LABELS = {
    "smash_score": "**SMASH score**",
    "val_loss": "validation loss with generated weights",
    "val_error": "validation error with generated weights",
    "smash_score+params": "SMASH score and parameters",
    "params": "parameters",
    "macs": "MACs",
    "ops": "number of ops",
    "early_stopping": "early stopping at the cost of a score",
    "weight_sharing": "weight sharing",
    "unconditional": "unconditional HyperNet",
    "untrained": "untrained HyperNet",
    "jacobian_covariance": "Jacobian covariance",
    "naswot": "NASWOT",
    "synflow": "SynFlow",
    "snip": "SNIP",
}
SUMMARY = ("smash_score", "val_loss", "weight_sharing", "unconditional", "params")
CALIBRATED = "calibrated prediction (own + earlier)"
MEAN = "mean (SD)"
SPEARMAN = "Spearman with the mean test loss"

Run = dict[str, Any]
Table = tuple[Sequence[Any], list[list[Any]]]  # header and rows


class Cell(NamedTuple):
    """A figure as text, and as a number in percent or not where there is one."""

    text: str = "-"
    value: float | None = None
    percent: bool = False


Row = tuple[str, Callable[[Run], Cell]]


def figure(estimate: dict[str, Any] | None) -> str:
    """An estimate with its interval, as `.49 [.25, .68]`; a dash where it is undefined."""
    if estimate is None:
        return "-"
    return f"{number(estimate['value'])} [{number(estimate['low'])}, {number(estimate['high'])}]"


def number(value: float) -> str:
    """Two decimals without a leading zero."""
    text = f"{value:.2f}".replace("-0.00", "0.00")
    return text.replace("0.", ".", 1) if text.lstrip("-").startswith("0.") else text


def cell(estimate: dict[str, Any] | None) -> Cell:
    """An estimate as a figure of a table."""
    return Cell(figure(estimate), None if estimate is None else estimate["value"])


def mean(cells: Sequence[Cell]) -> str:
    """Mean and standard deviation over runs, as `.49 (.05)`; a dash where a run has no number."""
    values = [one.value for one in cells if one.value is not None]
    if len(values) < len(cells):
        return "-"
    middle, spread = statistics.fmean(values), statistics.stdev(values)
    return f"{middle:+.0%} ({spread:.0%})" if cells[0].percent else f"{number(middle)} ({number(spread)})"


def label(name: str) -> str:
    """The name of a predictor in a table."""
    return LABELS.get(name, name.replace("_", " "))


def render(path: Path, table: str | None) -> str:
    """The lines of one table, or a sentence where the file does not exist."""
    if not path.exists():
        return f"{MISSING}\n"
    published = json.loads(path.read_text(encoding="utf-8"))
    runs: dict[str, Run] = published["figures"]
    if table == "verdict":
        return _verdict(runs)
    if table in WHOLE:
        return f"{markdown(*WHOLE[table](runs))}\n"
    title, rows = TABLES[table or "summary"](list(runs.values()))
    found = {name: [of(run) for run in runs.values()] for name, of in rows}
    cells = {title: list(runs)} | {name: [one.text for one in row] for name, row in found.items()}
    if len(runs) > 1 and table != "lines":
        cells = {name: [mean(found[name]) if name in found else MEAN, *row] for name, row in cells.items()}
    kept = [[name, *row] for name, row in cells.items() if set(row) != {"-"}]
    header, *others = zip(*kept, strict=True) if table == "lines" else kept
    lines = markdown(header, others)
    if table not in (None, "lines"):
        return f"{lines}\n"
    source = f"`{'`, `'.join(published['command'])}`, commit {published['commit']}, {published['machine']}"
    return "\n".join([lines, "", f"*{source}, {published['date']}.*", ""])


def _verdict(runs: dict[str, Run]) -> str:
    """What the first run printed last, as the package prints it."""
    from smash_lightning.report.verdict import sentences

    run = next(iter(runs.values()))
    lines = [line for sentence in sentences(run) for line in textwrap.wrap(sentence, 100)]
    return "\n".join(["```text", *lines, "```", ""])


def _pooled(runs: dict[str, Run]) -> Table:
    """What pooled.json has of every predictor."""
    (run,) = runs.values()
    found, minus = run["spearman"], run["differences"]
    calibrated = [name for name in found if name.startswith("calibrated")]
    compared = calibrated[:3]  # more of them would make the table too wide
    header = ["mean over six runs", "Spearman", *(f"{name}, minus it" for name in compared)]
    return header, [
        [label(name), figure(one), *(figure(minus.get(f"{other} minus {name}")) for other in compared)]
        for name, one in found.items()
    ]


def _conflict(runs: dict[str, Run]) -> Table:
    """Cosines and shares of each run and state in gradient_conflict.json."""
    rows = [(f"{name}, {state}", one) for name, run in runs.items() for state, one in run["states"].items()]
    parts = [(key, name) for key in ("cosines", "shares") for name in rows[0][1][key]]
    header = ["space, weights, state", *(f"{key[:-1]}: {name}" for key, name in parts)]
    return header, [[name, *(figure(one[key][part]) for key, part in parts)] for name, one in rows]


def _gains(runs: dict[str, Run]) -> Table:
    """What conditioning.json has of every search space, and of several together."""
    sources, rows = dict.fromkeys(name for run in runs.values() for name in run["gain"]), []
    header = ["space", "n", "share, start", "share, trained", "shared weights"]
    for name, run in runs.items():
        share = run.get("share", {})
        first = (share.get("start"), share.get("trained"), run.get("shared weights"))
        cells = [*map(figure, first), *(figure(run["gain"].get(one)) for one in sources)]
        rows.append([name, run.get("architectures", "-"), *cells])
    return [*header, *(f"{name}, minus it" for name in sources)], rows


def _hypernets(runs: dict[str, Run]) -> Table:
    """Agreement by number of HyperNets in hypernets.json."""
    (run,) = runs.values()
    rows = run["rows"] | {"3 minus 1 with the test loss": run["three minus one"]}
    return ["HyperNets", "Spearman"], [[name, figure(one)] for name, one in rows.items()]


def _default_size(runs: dict[str, Run]) -> Table:
    """Agreement and width of its interval by run and size in default_size.json."""
    rows = [run for several in runs.values() for run in several]
    means = {key: sum(row[key] for row in rows) / len(rows) for key in rows[0]}
    header = ["seed", "Spearman", "of the smaller", "width of its interval", "of the smaller", "ratio"]
    return header, [
        [row["seed"], *(f"{row[key]:.2f}".lstrip("0") for key in [*row][1:])]
        for row in [*rows, means | {"seed": "mean"}]
    ]


def _soak(runs: dict[str, Run]) -> Table:
    """What soak.json has of each kind of work."""
    (run,) = runs.values()
    numbers = ["descriptors", "threads", "children", "files"]
    header = ["work", "memory, MB", "growth, MB", "MB per 1,000", *(f"{name}: first half, second" for name in numbers)]
    return header, [
        [f"{one['count']:,} {name}"]
        + [f"{one[key]:.1f}" for key in ("memory_mb", "growth_mb", "mb_per_1000")]
        + [", ".join(map(str, one[key])) for key in numbers]
        for name, one in run.items()
    ]


WHOLE = {
    "pooled": _pooled,
    "conflict": _conflict,
    "gains": _gains,
    "hypernets": _hypernets,
    "default_size": _default_size,
    "soak": _soak,
}  # tables without a column for each run


def _predictor(name: str, column: str) -> Callable[[Run], Cell]:
    return lambda run: cell(run["comparison"]["predictors"].get(name, {}).get(column))


def _estimate(*keys: str) -> Callable[[Run], Cell]:
    """The estimate at nested keys; none where one of them is missing."""

    def of(run: Run) -> Cell:
        value: Any = run
        for key in keys:
            value = (value or {}).get(key)
        return cell(value)

    return of


def _names(runs: list[Run]) -> list[str]:
    """Every predictor, the highest mean Spearman coefficient first."""
    found: dict[str, list[float]] = {}
    for run in runs:
        for name, figures in run["comparison"]["predictors"].items():
            found.setdefault(name, []).append(figures["spearman"]["value"] if figures["spearman"] else -1.0)
    return sorted(found, key=lambda name: -sum(found[name]) / len(found[name]))


def _head(*names: str) -> list[Row]:
    rows: list[Row] = [("noise ceiling", _estimate("loss", "reliability", "ceiling"))]
    rows.append((CALIBRATED, _estimate("calibration", "spearman")))
    return rows + [(label(name), _predictor(name, "spearman")) for name in names]


def _differences(names: Iterable[str]) -> list[Row]:
    minus = "calibrated prediction minus {}, paired".format
    return [(minus(label(name)), _estimate("calibration", "differences", name)) for name in names]


def _summary(runs: list[Run]) -> tuple[str, list[Row]]:
    rows = _head(*SUMMARY) + _differences(("val_loss", "weight_sharing", "params"))
    for name in ("params", "weight_sharing"):
        rows.append((f"SMASH score minus {label(name)}, paired", _predictor(name, "delta_spearman")))
    rows.append(("shortlist: change of the test loss", _shortlist))
    return SPEARMAN, rows


def _lines(runs: list[Run]) -> tuple[str, list[Row]]:
    names = ("smash_score", "val_loss", "params")
    return SPEARMAN, _head(*names) + _differences(names)


def _calibration(runs: list[Run]) -> tuple[str, list[Row]]:
    found = {"own + earlier": "spearman", "own alone": "own", "earlier alone": "library"}
    rows: list[Row] = [(f"fitted on {name}", _estimate("calibration", key)) for name, key in found.items()]
    return "calibrated prediction: " + SPEARMAN, rows + _differences(_names(runs))


def _shortlist(run: Run) -> Cell:
    gain = run["loss"]["shortlist"]
    if gain is None:
        return Cell()
    share = gain["difference"] / gain["mean_representative"]
    return Cell(f"{share:+.0%} (z = {gain['z']:+.1f})", share, percent=True)


def _all(column: str, title: str) -> Callable[[list[Run]], tuple[str, list[Row]]]:
    first = (CALIBRATED, _estimate("calibration", column))
    return lambda runs: (title, [first, *((label(name), _predictor(name, column)) for name in _names(runs))])


def _reliability(runs: list[Run]) -> tuple[str, list[Row]]:
    rows: list[Row] = [("architectures", lambda run: Cell(str(run["architectures"])))]
    for ground_truth, name in (("loss", "test loss"), ("error", "test error")):
        rows.append((f"{name}: reliability over seeds (ICC)", _estimate(ground_truth, "reliability", "icc_mean")))
        rows.append((f"{name}: noise ceiling", _estimate(ground_truth, "reliability", "ceiling")))
        rows.append((f"{name}: SMASH score", _estimate(ground_truth, "scores", "smash_score", "spearman")))
        given = f"{name}: SMASH score given parameters, MACs and ops"
        rows.append((given, _estimate(ground_truth, "partial_given_sizes")))
    return "Spearman, where nothing else is named", rows


TABLES = {
    "summary": _summary,
    "spearman": _all("spearman", SPEARMAN),
    "delta": _all("delta_spearman", "SMASH score minus predictor, paired"),
    "size-matched": _all("size_matched_tau", "Kendall's tau over pairs of nearly equal size"),
    "reliability": _reliability,
    "calibrated": _calibration,
    "lines": _lines,
}


def rendered(text: str) -> str:
    """A page with its tables made anew."""
    return BLOCK.sub(lambda m: m[1] + render(ROOT / m[2], m[3]) + m[5], text)


def pages() -> Iterator[Path]:
    """README.md and every page of the documentation."""
    yield ROOT / "README.md"
    yield from sorted((ROOT / "docs").glob("**/*.md"))


if __name__ == "__main__":
    for page in pages():
        page.write_text(rendered(page.read_text(encoding="utf-8")), encoding="utf-8")
