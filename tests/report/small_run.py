"""A small run folder in the documented form: a made-up study, of architectures of one space."""

import json
import math
from collections.abc import Mapping
from copy import deepcopy
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from smash_lightning.architecture import Architecture
from smash_lightning.evaluation.correlation import correlate
from tests.cases import CASES
from tests.evaluation.study_tables import FAILED, baselines, changed, study

SAMPLE, SHORTLIST, SEEDS, HYPERNETS = 10, 4, 2, 2
CONFIG = {
    "seed": 0,
    "source_run": None,
    "search": {"epochs": 6, "hypernets": HYPERNETS},
    "retrain": {"epochs": 3, "seeds": SEEDS, "use_validation": False},
}
DATA: dict[str, Any] = {"name": "digits", "train": 100, "validation": 40, "test": 60, "views": 1, "notes": []}
DATA |= {"channels": 3, "size": [8, 8], "classes": ["zero", "one"], "stem_stride": 1}


def estimate(value: float, reach: float = 0.2) -> dict[str, float]:
    """An estimate as in correlation.json."""
    return {"value": value, "low": value - reach, "high": value + reach, "resamples": 1000}


@cache
def tables() -> tuple[list[Architecture], pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Architectures, ranking, trainings, the last of which failed, and baselines, one of them incomplete."""
    ranking, retrained = study(SAMPLE, SHORTLIST, SEEDS, hypernets=HYPERNETS)
    ranking = ranking.sort_values("smash_score", ignore_index=True)
    case = next(iter(CASES.values()))
    different = {one.fingerprint: one for one in map(case.draw, range(10 * len(ranking)))}
    found = list(different.values())[: len(ranking)]
    names = dict(zip(ranking["fingerprint"], (one.fingerprint for one in found), strict=True))
    ranking, retrained = (table.assign(fingerprint=table["fingerprint"].map(names)) for table in (ranking, retrained))
    predicted = baselines(retrained, ["snip", "early_stopping"])[1:]
    failed = FAILED | {"true_error_top5": math.nan, "failure": "it <failed> & ended"}
    retrained = changed(retrained, retrained.index == len(retrained) - 1, **failed)
    return found, ranking, retrained, predicted


@cache
def compared() -> dict[str, Any]:
    """The comparison of the tables, with round numbers: of a score that predicts, of which no baseline is better."""
    _, *found = tables()
    content: dict[str, Any] = json.loads(correlate(*found, training_seconds=120, bootstrap=200).to_json())
    for name, one in content["comparison"]["predictors"].items():
        value = {"smash_score": 0.6, "early_stopping": 0.55, "params": 0.2}.get(name, 0.1)
        one |= {"spearman": estimate(value), "size_matched_tau": estimate(value - 0.2)}
        if name != "smash_score":
            one |= {"delta_spearman": estimate(0.6 - value, 0.15), "delta_tau_size_matched": estimate(0.6 - value)}
    content["comparison"]["above_goal"] = estimate(-0.1)
    loss = content["loss"]
    loss["scores"]["smash_score"]["spearman"] = estimate(0.6, 0.15)
    loss["reliability"] |= {"icc_mean": estimate(0.75), "icc_single": estimate(0.6), "ceiling": estimate(0.87, 0.05)}
    loss["shortlist"] |= {"difference": -0.1, "low": -0.14, "high": -0.06, "beat_median": 4}
    loss["partial_given_sizes"] = None
    verdict = {"status": "predicts", "reason": None, "goal": "not_significant", "strongest": "early_stopping"}
    content["verdict"] |= verdict | {"strongest_size_matched": "early_stopping"}
    return content


def correlation() -> dict[str, Any]:
    """The content of correlation.json, for a test to change."""
    return deepcopy(compared())


def write_run(folder: Path, config: Mapping[str, Any] = CONFIG) -> Path:
    """Writes every file that the report reads."""
    folder.mkdir(parents=True, exist_ok=True)
    found, *rows = tables()
    lines = [f'{{"fingerprint":"{one.fingerprint}","architecture":{one.to_json()}}}\n' for one in found]
    (folder / "architectures.jsonl").write_text("".join(lines))
    settling = pd.DataFrame(product(range(HYPERNETS), (2, 4, 6), range(6)), columns=["hypernet", "epoch", "number"])
    settling["val_loss"] = 3 / settling["epoch"] + settling["number"] / 100 + settling["hypernet"]
    rows.append(settling.assign(fingerprint=settling["number"].map("{:016x}".format)))
    for name, table in zip(("ranking", "retrained", "baselines", "settling"), rows, strict=True):
        table.to_csv(folder / f"{name}.csv", index=False)
    for name, content in (("data.json", DATA), ("correlation.json", correlation())):
        (folder / name).write_text(json.dumps(content))
    (folder / "config.yaml").write_text(yaml.safe_dump(dict(config), sort_keys=False))
    return folder
