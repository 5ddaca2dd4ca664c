"""Gain of conditioned weights against gradient conflict: python docs/results/conditioning.py FOLDER... > FILE.json.

Each FOLDER is a run with hypernet=shared, and its name that of its search space, before the seed unless it is 0.
FOLDER.gradients (seed 0) and FOLDER.sources* are task=gradient_conflict and task=conditioning on it, the latter perhaps
of some sources each. Of the six runs in `default_pools.csv` come the gains of two sources with three HyperNets each.
Draws docs/images/conditioning.png as well. The architectures of a space or run are drawn anew in each resample; spaces,
runs and shares are not.
"""

import json
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from collect import overrides_of, record
from PIL import Image
from pooled import RUNS, mean, read_pools

from smash_lightning.analyses.variants import BASE
from smash_lightning.evaluation.bootstrap import Bootstrap
from smash_lightning.evaluation.calibration import Draws, centered_estimate
from smash_lightning.evaluation.coefficients import Floats, spearman
from smash_lightning.report.figures import lines
from smash_lightning.report.style import save, specification

RESAMPLES = 10_000
SHARED = "weight sharing"
SOURCES = (
    "shared per kind of op",
    "mixture of shared weights",
    "added to shared weights",
    "conditional",
    "unconditional",
)
DEFAULT = {"added to shared weights": "val_loss", "unconditional": "baseline_unconditional"}  # columns of default runs
PICTURE = Path(__file__).parents[1] / "images" / "conditioning.png"


def gains(columns: dict[str, Floats], target: Floats, seed: int) -> tuple[Draws, dict[str, Draws]]:
    """Spearman of shared weights with the ground truth, and by how much that of each other source exceeds it."""
    bootstrap, once, found = Bootstrap(len(target), RESAMPLES, seed), np.ones((1, len(target))), {}
    for name, column in columns.items():
        statistic = partial(spearman, column, target)
        found[name] = (float(statistic(once)[0]), bootstrap.draws(statistic))
    value, draws = shared = found.pop(SHARED)
    return shared, {name: (one[0] - value, one[1] - draws) for name, one in found.items()}


def slope(shares: list[float], gains: list[dict[str, Draws]], name: str) -> Draws:
    """By how much the gain of a source changes with .1 of the share, by least squares over spaces."""
    weights = np.asarray(shares) - np.mean(shares)
    weights *= 0.1 / (weights**2).sum()
    return weights @ [one[name][0] for one in gains], weights @ np.stack([one[name][1] for one in gains])


def estimates(draws: dict[str, Draws]) -> dict[str, Any]:
    """By name, with intervals."""
    return {name: centered_estimate(one) for name, one in draws.items()}


def of_space(folder: Path, seed: int) -> tuple[dict[str, Any], dict[str, Draws]]:
    """What conditioning.json has of a run in a space, and the gains in each resample."""
    files = sorted(folder.parent.glob(f"{folder.name}.sources*/conditioning.csv"))
    table = pd.concat(map(pd.read_csv, files)).drop_duplicates(["variant", "fingerprint"])
    parts = {SHARED if name == BASE else str(name): part for name, part in table.groupby("variant", sort=False)}
    columns = {name: parts[name]["smash_score"].to_numpy(float) for name in (SHARED, *SOURCES) if name in parts}
    shared, found = gains(columns, parts[SHARED]["true_loss"].to_numpy(float), seed)
    base: dict[str, Any] = {"architectures": len(parts[SHARED]), "shared weights": centered_estimate(shared)}
    if (gradients := folder.with_suffix(".gradients") / "gradient_conflict.json").exists():
        states = json.loads(gradients.read_text("utf-8"))["states"]
        base["share"] = {state: states[state]["shares"]["architecture"] for state in ("start", "trained")}
    return base | {"gain": estimates(found)}, found


def mean_gains(found: Sequence[dict[str, Draws]]) -> dict[str, Draws]:
    """The mean over runs, of the sources that all of them have."""
    return {name: mean([one[name] for one in found]) for name in SOURCES if all(name in one for one in found)}


def of_default_runs(pools: Sequence[pd.DataFrame]) -> dict[str, Any]:
    """The means over the six runs of the default."""
    both = [
        gains(
            {SHARED: pool["baseline_weight_sharing"].to_numpy(float)}
            | {name: pool[column].to_numpy(float) for name, column in DEFAULT.items()},
            pool["true_loss"].to_numpy(float),
            100 + index,
        )
        for index, pool in enumerate(pools)
    ]
    gain = {name: mean([found[name] for _, found in both]) for name in DEFAULT}
    shared = centered_estimate(mean([shared for shared, _ in both]))
    return {"architectures": sum(map(len, pools)), "shared weights": shared, "gain": estimates(gain)}


def draw(spaces: dict[str, dict[str, Any]]) -> None:
    """The gains of each source over the architecture's share of the trained weights in each space."""
    spaces = dict(sorted(spaces.items(), key=lambda pair: pair[1]["share"]["trained"]["value"]))
    rows = [
        {"series": name, "x": round(space["share"]["trained"]["value"], 3), "y": one.value, "low": one.low}
        | {"high": one.high}
        for name in SOURCES
        for space in spaces.values()
        for one in [space["gain"][name]]
    ]
    chart = lines(
        pd.DataFrame(rows),
        x=f"share of the architecture in a step's gradient, trained: {', '.join(spaces)}",
        y="Spearman minus that of shared weights",
        title="Gain over shared weights against gradient conflict",
        note="Digits, one HyperNet each; 95 % bootstrap intervals over architectures",
    )
    save(specification(chart), PICTURE)
    Image.open(PICTURE).quantize(64).save(PICTURE, optimize=True)  # a tenth of the size


if __name__ == "__main__":
    commands, figures, found = [], dict[str, Any](), dict[int, list[dict[str, Draws]]]()
    for index, folder in enumerate(map(Path, sys.argv[1:])):
        kept = " ".join(overrides_of(folder))
        later = "task=gradient_conflict checkpoint=FOLDER; task=conditioning search.hypernets=1 checkpoint=FOLDER"
        commands.append(f"python run.py {kept}; {later}")
        seed = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))["seed"]
        name = folder.name.removesuffix(str(seed)) if seed else folder.name
        figures[f"{name}, seed {seed}" if seed else name], draws = of_space(folder, index)
        found.setdefault(seed, []).append(draws)
    spaces = {name: one for name, one in figures.items() if "share" in one}
    draw(spaces)
    shares = [space["share"]["trained"]["value"] for space in spaces.values()]
    both = {f"mean over spaces, seed {seed}": {"gain": estimates(mean_gains(one))} for seed, one in found.items()}
    both["mean over spaces and seeds"] = {
        "gain": estimates(mean_gains([one for some in found.values() for one in some]))
    }
    both["slope, for .1 of the share, seed 0"] = {
        "gain": estimates({name: slope(shares, found[0], name) for name in SOURCES})
    }
    both["default, six runs"] = of_default_runs(read_pools(RUNS))
    commands += ["python docs/results/conditioning.py FOLDER..."] * len(both)
    print(record(commands, figures | both))
