"""Synthetic tables of a run with a known ground truth, and folders of sweeps as Hydra and the tasks write them."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from smash_lightning.evaluation.correlation import correlate
from smash_lightning.evaluation.ground_truths import Identity, ground_truths, pool_of
from smash_lightning.evaluation.sample import join
from smash_lightning.evaluation.tables import BASELINES, RANKING, RETRAINED
from tests.cases import CASES

IDENTITY = Identity("digits-0a", "space-1b", "11_epochs-2c")
FAILED = {"true_loss": np.nan, "true_error": np.nan, "failure": "the loss became NaN at epoch 3"}


def study(
    representative: int = 40,
    shortlist: int = 10,
    seeds: int = 3,
    *,
    skill: float = 0.6,
    noise: float = 0.5,
    size_skill: float = 0.2,
    hypernets: int = 3,
    equal_ops: bool = False,
    key: int = 0,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Ranking and trainings as a run writes them.

    Quality of an architecture is normal; scores and sizes correlate with it (`skill`, `size_skill`, before noise);
    each training adds normal noise of `noise` times the quality's spread. The shortlist is selected by score.
    """
    rng = np.random.default_rng(key)
    pool = representative + 8 * shortlist
    quality = rng.normal(size=pool)
    score = skill * quality + np.sqrt(1 - skill**2) * rng.normal(size=pool)
    size = size_skill * quality + np.sqrt(1 - size_skill**2) * rng.normal(size=pool)
    by_hypernet = 0.45 + 0.06 * (score[:, None] + 0.5 * rng.normal(size=(pool, hypernets)))
    losses = by_hypernet.mean(1)
    names = [f"{i:016x}" for i in range(pool)]
    params = np.round(9700 - 300 * size).astype(int)
    ranking = pd.DataFrame(
        {
            "fingerprint": names,
            "strategy": "random",
            "parent": "",
            "smash_score": losses,
            "val_error": np.round(100 * losses / 4, 1),
            "val_loss": losses,
            **{f"val_loss_{i}": column for i, column in enumerate(by_hypernet.T)},
            "ensemble_error": 9.0,
            "images": 500,
            "params": params,
            "macs": 40 * params + rng.integers(200_000, size=pool),
            "ops": 8 if equal_ops else rng.integers(5, 11, size=pool),
            "seconds": 0.36,
        },
        columns=[*RANKING.ordered(f"val_loss_{i}" for i in range(hypernets))],
    )
    best = [int(i) for i in np.argsort(losses)[:shortlist]]
    rows = [
        {
            "fingerprint": names[i],
            "seed": seed,
            "shortlist": int(i in best),
            "stratified": int(i < representative),
            "random": 0,
            "preset": 0,
            "true_error": 3.2 + 0.4 * (quality[i] + 2 * noise * rng.normal()),
            "true_error_top5": 0.0,
            "true_loss": 0.145 + 0.012 * (quality[i] + noise * rng.normal()),
            "epochs": 11,
            "seconds": 2.8,
            "failure": "",
        }
        for i in dict.fromkeys([*range(representative), *best])
        for seed in range(seeds)
    ]
    return ranking, pd.DataFrame(rows, columns=[*RETRAINED.columns])


def baselines(
    retrained: pd.DataFrame,
    names: Sequence[str] = ("naswot", "synflow", "early_stopping"),
    *,
    skill: float = 0.4,
    key: int = 0,
) -> pd.DataFrame:
    """`baselines.csv` for every retrained architecture; the predictions follow its mean test loss by `skill`."""
    losses = retrained.groupby("fingerprint", sort=False)["true_loss"].mean()
    target = (losses - losses.mean()).to_numpy() / losses.std(ddof=0)
    rng = np.random.default_rng([key, 1])
    values = {name: skill * target + np.sqrt(1 - skill**2) * rng.normal(size=len(target)) for name in names}
    rows = [
        (fingerprint, name, float(value), 0.05, 40.0 if name == "weight_sharing" else 0.0)
        for name in names
        for fingerprint, value in zip(losses.index, values[name], strict=True)
    ]
    return pd.DataFrame(rows, columns=[*BASELINES.columns])


def known_ground_truths(key: int = 0, identity: Identity = IDENTITY, representative: int = 40) -> pd.DataFrame:
    """`ground_truths.csv` of such a run."""
    ranking, retrained = study(representative, representative // 4, key=key)
    sample, architecture = join(ranking, retrained, baselines(retrained)), next(iter(CASES.values())).draw(0)
    architectures = dict.fromkeys(sample.table["fingerprint"], architecture)
    return ground_truths(sample, architectures, pool_of(ranking), identity)


def changed(table: pd.DataFrame, where: Any, **values: Any) -> pd.DataFrame:
    """A copy of a table in which the rows `where` (a mask or a fingerprint) have other values."""
    table = table.copy()
    rows = table["fingerprint"] == where if isinstance(where, str) else where
    for column, value in values.items():
        if isinstance(value, float):
            table[column] = table[column].astype(float)
        table.loc[rows, column] = value
    return table


def sweep_folder(
    folder: Path, options: Mapping[str, Sequence[Any]], *, skills: Mapping[Any, float] | None = None
) -> Path:
    """A finished job for every combination; `skills` is how good the score is by a value of the first option."""
    for number, values in enumerate(itertools.product(*options.values())):
        given = dict(zip(options, values, strict=True))
        skill = (skills or {}).get(values[0], 0.6) if values else 0.6
        job_folder(folder / str(number), given, skill, number)
    return folder


def job_folder(folder: Path, given: Mapping[str, Any], skill: float = 0.6, key: int = 0) -> None:
    """A finished job that was given these options."""
    begin(folder, given)
    scored, retrained = study(24, 4, 3, skill=skill, key=key)
    found = correlate(scored, retrained, baselines(retrained, ("synflow",), key=key), bootstrap=200)
    (folder / "correlation.json").write_text(found.to_json())


def begin(folder: Path, given: Mapping[str, Any]) -> None:
    """A job that began and did nothing yet."""
    folder.mkdir(parents=True)
    overrides = ["experiment=quick", *(f"{name}={value}" for name, value in given.items())]
    (folder / "config.yaml").write_text(yaml.safe_dump({"seed": given.get("seed", 0), "overrides": overrides}))
