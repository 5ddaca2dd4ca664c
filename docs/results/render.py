"""Writes the tables of README.md and docs/*.md from docs/results/*.json: python docs/results/render.py.

A table is between `<!-- results: docs/results/NAME.json TABLE -->` and `<!-- end of results -->`. TABLE is one of
`TABLES` below, or `verdict`; without it, the summary, with the source of its figures.
"""

import json
import re
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

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
SUMMARY = ("smash_score", "val_loss", "weight_sharing", "unconditional", "params", "macs", "early_stopping", "synflow")
SUMMARY += ("snip", "naswot")

Run = dict[str, Any]
Row = tuple[str, Callable[[Run], str]]


def figure(estimate: dict[str, Any] | None) -> str:
    """An estimate with its interval, as `.49 [.25, .68]`; a dash where it is undefined."""
    if estimate is None:
        return "-"
    return f"{number(estimate['value'])} [{number(estimate['low'])}, {number(estimate['high'])}]"


def number(value: float) -> str:
    """Two decimals without a leading zero."""
    text = f"{value:.2f}".replace("-0.00", "0.00")
    return text.replace("0.", ".", 1) if text.lstrip("-").startswith("0.") else text


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
        return _verdict(next(iter(runs.values())))
    title, rows = TABLES[table or "summary"](list(runs.values()))
    lines = [f"| {title} | {' | '.join(runs)} |", f"|---{'|---' * len(runs)}|"]
    cells = {name: [cell(run) for run in runs.values()] for name, cell in rows}
    lines += [f"| {name} | {' | '.join(row)} |" for name, row in cells.items() if set(row) != {"-"}]
    if table is not None:
        return "\n".join([*lines, ""])
    source = f"`{'`, `'.join(published['command'])}`, commit {published['commit']}, {published['machine']}"
    return "\n".join([*lines, "", f"*{source}, {published['date']}.*", ""])


def _verdict(run: Run) -> str:
    """What the first run printed last, as the package prints it."""
    from smash_lightning.report.verdict import sentences

    lines = [line for sentence in sentences(run) for line in textwrap.wrap(sentence, 100)]
    return "\n".join(["```text", *lines, "```", ""])


def _predictor(name: str, column: str) -> Callable[[Run], str]:
    return lambda run: figure(run["comparison"]["predictors"].get(name, {}).get(column))


def _names(runs: list[Run]) -> list[str]:
    """Every predictor, the highest mean Spearman coefficient first."""
    found: dict[str, list[float]] = {}
    for run in runs:
        for name, figures in run["comparison"]["predictors"].items():
            found.setdefault(name, []).append(figures["spearman"]["value"] if figures["spearman"] else -1.0)
    return sorted(found, key=lambda name: -sum(found[name]) / len(found[name]))


def _summary(runs: list[Run]) -> tuple[str, list[Row]]:
    rows: list[Row] = [("noise ceiling", lambda run: figure(run["loss"]["reliability"]["ceiling"]))]
    rows += [(label(name), _predictor(name, "spearman")) for name in SUMMARY]
    for name in ("params", "weight_sharing"):
        rows.append((f"SMASH score minus {label(name)}, paired", _predictor(name, "delta_spearman")))
    rows.append(("shortlist: change of the test loss", _shortlist))
    return "Spearman with the mean test loss", rows


def _shortlist(run: Run) -> str:
    gain = run["loss"]["shortlist"]
    return "-" if gain is None else f"{gain['difference'] / gain['mean_representative']:+.0%} (z = {gain['z']:+.1f})"


def _all(column: str, title: str) -> Callable[[list[Run]], tuple[str, list[Row]]]:
    return lambda runs: (title, [(label(name), _predictor(name, column)) for name in _names(runs)])


def _reliability(runs: list[Run]) -> tuple[str, list[Row]]:
    def cell(ground_truth: str, *keys: str) -> Callable[[Run], str]:
        def of(run: Run) -> str:
            value = run[ground_truth]
            for key in keys:
                value = value[key]
            return figure(value)

        return of

    rows: list[Row] = [("architectures", lambda run: str(run["architectures"]))]
    for ground_truth, name in (("loss", "test loss"), ("error", "test error")):
        rows.append((f"{name}: reliability over seeds (ICC)", cell(ground_truth, "reliability", "icc_mean")))
        rows.append((f"{name}: noise ceiling", cell(ground_truth, "reliability", "ceiling")))
        rows.append((f"{name}: SMASH score", cell(ground_truth, "scores", "smash_score", "spearman")))
        rows.append((f"{name}: SMASH score given parameters, MACs and ops", cell(ground_truth, "partial_given_sizes")))
    return "Spearman, where nothing else is named", rows


TABLES = {
    "summary": _summary,
    "spearman": _all("spearman", "Spearman with the mean test loss"),
    "delta": _all("delta_spearman", "SMASH score minus predictor, paired"),
    "size-matched": _all("size_matched_tau", "Kendall's tau over pairs of nearly equal size"),
    "reliability": _reliability,
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
