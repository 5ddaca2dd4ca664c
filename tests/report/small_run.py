"""A small run folder in the documented form, made by code, for tests of the report."""

import copy
import json
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from smash_lightning.architecture import Architecture
from tests.cases import CASES

ARCHITECTURES, TRAINED, SHORTLIST, SEEDS, HYPERNETS = 24, 14, 4, 2, 2
CONFIG = {
    "seed": 0,
    "source_run": None,
    "search": {"epochs": 6, "hypernets": HYPERNETS},
    "retrain": {"epochs": 3, "seeds": SEEDS, "use_validation": False},
}
DATA: dict[str, Any] = {"name": "digits", "train": 100, "validation": 40, "test": 60, "views": 1, "notes": []}
DATA |= {"channels": 3, "size": [8, 8], "classes": ["zero", "one"], "stem_stride": 1}


def architectures(count: int = ARCHITECTURES) -> list[Architecture]:
    """Different architectures of one space."""
    case = next(iter(CASES.values()))
    found = {one.fingerprint: one for one in map(case.draw, range(10 * count))}
    return list(found.values())[:count]


def estimate(value: float, reach: float = 0.2) -> dict[str, float]:
    """An estimate as in correlation.json."""
    return {"value": value, "low": value - reach, "high": value + reach, "resamples": 1000}


def correlation() -> dict[str, Any]:
    """The content of correlation.json of a score that predicts, of which no baseline is better."""
    spearman = {"smash_score": 0.6, "val_loss": 0.5, "params": 0.2, "early_stopping": 0.55}
    predictors = {
        name: {
            "spearman": estimate(value),
            "delta_spearman": None if name == "smash_score" else estimate(0.6 - value, 0.15),
            "partial_spearman": None if name == "params" else estimate(value - 0.1),
            "size_matched_tau": estimate(value - 0.2),
            "delta_tau_size_matched": None if name == "smash_score" else estimate(0.6 - value),
            "regret": estimate(0.01, 0.005),
            "precision": estimate(0.5),
            "seconds": 0.5 if name != "params" else 0.0,
            "training_seconds": 120.0 if name in ("smash_score", "val_loss") else 0.0,
        }
        for name, value in sorted(spearman.items(), key=lambda item: -item[1])
    }
    three = {"spearman": estimate(0.6, 0.15), "kendall": estimate(0.4), "pearson": estimate(0.5)}
    agreement = {
        "reliability": {"architectures": 10, "seeds": SEEDS, "icc_mean": estimate(0.75), "icc_single": estimate(0.6)}
        | {"ceiling": estimate(0.87, 0.05)},
        "scores": {name: three for name in ("smash_score", "val_loss", "val_error")},
        "sizes": {name: {"coefficients": three, "delta_spearman": estimate(0.4)} for name in ("params", "macs", "ops")},
        "partial_given_params": estimate(0.5),
        "partial_given_sizes": None,
        "hypernets": [estimate(0.5)] * HYPERNETS,
        "shortlist": {"top": 4, "representative": 10, "mean_top": 0.9, "mean_representative": 1.0, "difference": -0.1}
        | {"standard_error": 0.02, "z": -5.0, "low": -0.14, "high": -0.06, "beat_median": 4, "share": 1.0},
        "top_fraction": {name: estimate(-0.1, 0.05) for name in ("smash_score", "params", "macs", "ground_truth")},
    }
    counts = {"architectures": TRAINED, "trainings": TRAINED * SEEDS, "failed_trainings": 1}
    verdict = {"status": "predicts", "reason": None, "goal": "not_significant", "strongest": "early_stopping"}
    return {
        "architectures": 10,
        "counts": counts | {"without_ground_truth": 0, "without_score": 0, "incomplete": 1},
        "resamples": 1000,
        "seed": 0,
        "confidence": 0.95,
        "loss": agreement,
        "error": copy.deepcopy(agreement),
        "comparison": {"architectures": 10, "band": 0.1, "pairs": 31, "predictors": predictors}
        | {"omitted": {"snip": "3 of 10 values are missing"}, "above_goal": estimate(-0.1)},
        "hypernet_pairs": [],
        "hypernet_agreement": estimate(0.8),
        "verdict": verdict | {"strongest_size_matched": "early_stopping"},
    }


def write_run(folder: Path, config: Mapping[str, Any] = CONFIG) -> Path:
    """Writes every file that the report reads."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    found = architectures()
    lines = [f'{{"fingerprint":"{one.fingerprint}","architecture":{one.to_json()}}}\n' for one in found]
    (folder / "architectures.jsonl").write_text("".join(lines))
    names, losses = [one.fingerprint for one in found], np.sort(rng.normal(1.0, 0.1, ARCHITECTURES))
    ranking = pd.DataFrame({"fingerprint": names, "strategy": "random", "parent": "", "smash_score": losses})
    ranking = ranking.assign(val_error=20 + 5 * losses, val_loss=losses, val_loss_0=losses, val_loss_1=losses)
    ranking = ranking.assign(ensemble_error=18.0, images=40, params=1000 + np.arange(ARCHITECTURES), ops=4, seconds=0.1)
    ranking.assign(macs=5000 - ranking["params"]).to_csv(folder / "ranking.csv", index=False)
    place = np.repeat(np.arange(TRAINED), SEEDS)
    loss = losses[place] + rng.normal(0, 0.02, len(place))
    retrained = pd.DataFrame({"fingerprint": np.array(names)[place], "seed": np.tile(np.arange(SEEDS), TRAINED)})
    retrained = retrained.assign(shortlist=(place < SHORTLIST) * 1, stratified=(place > 1) * 1, random=0, preset=0)
    retrained = retrained.assign(true_error=20 * loss, true_error_top5=5.0, true_loss=loss, epochs=3, seconds=2.0)
    retrained.loc[len(place) - 1, ["true_error", "true_error_top5", "true_loss"]] = np.nan
    retrained.loc[len(place) - 1, "failure"] = "it <failed> & ended"
    retrained.to_csv(folder / "retrained.csv", index=False)
    baselines = pd.DataFrame({"fingerprint": names[:TRAINED], "baseline": "early_stopping", "prediction": 1.0})
    baselines.assign(seconds=1.0, training_seconds=0.0).to_csv(folder / "baselines.csv", index=False)
    settling = pd.DataFrame(product(range(HYPERNETS), (2, 4, 6), range(6)), columns=["hypernet", "epoch", "number"])
    settling["val_loss"] = 3 / settling["epoch"] + settling["number"] / 100 + settling["hypernet"]
    settling.assign(fingerprint=settling["number"].map("{:016x}".format)).to_csv(folder / "settling.csv", index=False)
    for name, content in (("data.json", DATA), ("correlation.json", correlation())):
        (folder / name).write_text(json.dumps(content))
    (folder / "config.yaml").write_text(yaml.safe_dump(dict(config), sort_keys=False))
    return folder
