"""Gain of conditioned weights against gradient conflict: python docs/results/conditioning.py FOLDER... > FILE.json.

Each FOLDER is a run with hypernet=shared, and its name that of its search space; FOLDER.gradients and FOLDER.sources
are task=gradient_conflict and task=conditioning on it. Draws docs/images/conditioning.png as well. The architectures of
a space are drawn anew in each resample; spaces are not.
"""

import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from collect import record
from gradient_conflict import overrides_of

from smash_lightning.evaluation.bootstrap import Bootstrap
from smash_lightning.evaluation.calibration import Draws, centered_estimate
from smash_lightning.evaluation.coefficients import spearman
from smash_lightning.report.figures import scatter
from smash_lightning.report.style import save

RESAMPLES = 10_000
SHARED = "weight sharing"
CONDITIONED = ("mixture of shared weights", "added to shared weights", "conditional")
BEST = "best of the three conditioned"
SOURCES = ("shared per kind of op", "unconditional", *CONDITIONED)
PICTURE = Path(__file__).parents[1] / "images" / "conditioning.png"
STEP = 0.1  # of the architecture's share, per which a slope is


def gains(table: pd.DataFrame, seed: int) -> tuple[dict[str, Draws], dict[str, Draws]]:
    """Spearman of each source of weights with the ground truth, and the same minus that of shared weights."""
    parts = {str(name): part for name, part in table.groupby("variant", sort=False)}
    target = parts[SHARED]["true_loss"].to_numpy()
    bootstrap, once = Bootstrap(len(target), RESAMPLES, seed), np.ones((1, len(target)))
    found: dict[str, Draws] = {}
    for name in (SHARED, *SOURCES):
        statistic = partial(spearman, parts[name]["smash_score"].to_numpy(), target)
        found[name] = (float(statistic(once)[0]), bootstrap.draws(statistic))
    found[BEST] = (max(found[name][0] for name in CONDITIONED), np.max([found[n][1] for n in CONDITIONED], axis=0))
    value, draws = found[SHARED]
    return found, {name: (found[name][0] - value, found[name][1] - draws) for name in (*SOURCES, BEST)}


def estimates(draws: dict[str, Draws]) -> dict[str, Any]:
    """By name, with intervals."""
    return {name: centered_estimate(one) for name, one in draws.items()}


def fit(shares: list[float], found: list[Draws]) -> tuple[Draws, Draws]:
    """Mean gain over spaces, and slope of the least-squares line over the architecture's share, per `STEP`."""
    x = (np.array(shares) - np.mean(shares)) / STEP
    rows = np.array([np.append(value, draws) for value, draws in found])
    mean, slope = rows.mean(0), x @ rows / (x @ x)
    return (mean[0], mean[1:]), (slope[0], slope[1:])


def draw(shares: dict[str, float], found: dict[str, Draws]) -> None:
    """The gain of the best conditioned source in each space over the architecture's share, and the line."""
    names, known = list(shares), estimates(found)
    points = pd.DataFrame(
        {"x": shares[name], "y": known[name].value, "low": known[name].low, "high": known[name].high, "group": name}
        for name in names
    )
    points["group"] = pd.Categorical(points["group"], names)
    mean, slope = fit(list(shares.values()), list(found.values()))
    ends = np.linspace(min(shares.values()), max(shares.values()), 20)
    steps = (ends - np.mean(list(shares.values()))) / STEP
    rows = [centered_estimate((mean[0] + slope[0] * s, mean[1] + slope[1] * s)) for s in steps]
    line = pd.DataFrame({"x": ends, "y": [e.value for e in rows], "low": [e.low for e in rows]})
    chart = scatter(
        points,
        x="share of the architecture in the variance of a step's gradient, shared weights, trained",
        y="Spearman minus that of shared weights",
        title="Gain of the best of three conditioned sources of weights",
        note="Digits, two HyperNets each; bars and band: 95 % bootstrap intervals over architectures",
        legend="search space",
        details={"group": "space", "x": "share", "y": "gain", "low": "low", "high": "high"},
        line=line.assign(high=[e.high for e in rows]),
    )
    save(chart, PICTURE)


if __name__ == "__main__":
    commands, figures, shares, found = [], {}, {}, {}
    for index, folder in enumerate(map(Path, sys.argv[1:])):
        kept = " ".join(overrides_of(folder))
        commands.append(f"python run.py {kept}; task=gradient_conflict and task=conditioning checkpoint=FOLDER")
        states = json.loads((folder.with_suffix(".gradients") / "gradient_conflict.json").read_text("utf-8"))["states"]
        correlation = json.loads((folder / "correlation.json").read_text("utf-8"))
        absolute, found[folder.name] = gains(pd.read_csv(folder.with_suffix(".sources") / "conditioning.csv"), index)
        share = {state: states[state]["shares"]["architecture"] for state in ("start", "trained")}
        shares[folder.name] = {state: one["value"] for state, one in share.items()}
        figures[folder.name] = {
            "architectures": correlation["architectures"],
            "ceiling": correlation["loss"]["reliability"]["ceiling"],
            "share": share,
            "spearman": estimates(absolute),
            "gain": estimates(found[folder.name]),
        }
    pooled: dict[str, Any] = {"gain": {}, "start": {}, "trained": {}}
    for name in (*SOURCES, BEST):
        of_spaces = [one[name] for one in found.values()]
        for state in ("start", "trained"):
            mean, slope = fit([one[state] for one in shares.values()], of_spaces)
            pooled["gain"][name], pooled[state][name] = centered_estimate(mean), centered_estimate(slope)
    draw({name: one["trained"] for name, one in shares.items()}, {name: one[BEST] for name, one in found.items()})
    commands.append("python docs/results/conditioning.py FOLDER...")
    print(record(commands, figures | {"all spaces": pooled}))
