"""The library of ground truths: what is known of every trained architecture, as later runs can use it."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from smash_lightning.architecture import Architecture, describe
from smash_lightning.evaluation.sample import COST, Sample
from smash_lightning.evaluation.tables import GREEDY, GROUND_TRUTHS, read_table
from smash_lightning.run_folder import RunFolder

NAME = RunFolder(Path()).ground_truths.name
SHIPPED = "shipped"  # the library of this package, as a source
LIBRARY = Path(__file__).parent / "library"


@dataclass(frozen=True, slots=True)
class Identity:
    """What ground truths depend on; texts that end with a digest, equal for equal options."""

    data: str
    space: str
    recipe: str


def named_digest(name: str, values: Mapping[str, Any]) -> str:
    """A name with a digest of plain values."""
    text = json.dumps(values, sort_keys=True, default=str)
    return f"{name}-{hashlib.blake2b(text.encode(), digest_size=4).hexdigest()}"


def pool_of(ranking: pd.DataFrame) -> str:
    """Digest of the architectures in `ranking.csv` and their losses."""
    scored = ranking[["fingerprint", "val_loss"]].sort_values("fingerprint")
    return named_digest("pool", {"rows": scored.to_csv(index=False)}).removeprefix("pool-")


def ground_truths(
    sample: Sample, architectures: Mapping[str, Architecture], pool: str, identity: Identity
) -> pd.DataFrame:
    """The rows of a run's `ground_truths.csv`, in the order of the sample.

    Args:
        sample: the joined tables of the run.
        architectures: by fingerprint.
        pool: of its ranking, see `pool_of`.
        identity: of its data, space and recipe.
    """
    known = sample.table.filter(regex=f"^(?!shortlist|{GREEDY}|{COST}|true_error_)")
    chosen = [architectures[name] for name in known["fingerprint"]]
    described = pd.DataFrame(map(describe, chosen)).astype(float)
    made: dict[str, Any] = {**asdict(identity), "representative": known["representative"].astype(int)}
    return known.join(described).assign(pool=pool, **made, architecture=[one.to_json() for one in chosen])


def read_library(sources: Iterable[str], identity: Identity, other_runs: bool) -> list[pd.DataFrame]:
    """The representative rows of earlier runs, a table for each pool, in the order of the sources.

    Args:
        sources: files as `ground_truths.csv`, folders that hold such files at any depth, or `SHIPPED`: those of this
            package with the same data, space and recipe, which may be none.
        identity: of this run.
        other_runs: whether to use files with other data, spaces or recipes.

    Raises:
        ValueError: there is no such file at a path, one holds a wrong value, or a run does not fit.
    """
    found: dict[str, pd.DataFrame] = {}
    same = pd.Series(asdict(identity))
    for source in sources:
        for file in _files(source):
            rows = read_table(file, GROUND_TRUTHS)
            if source == SHIPPED:
                rows = rows[(rows[same.index] == same).all(axis=1)]
            elif not other_runs:
                _require_same(file, rows, identity)
            for name, part in rows[rows["representative"] == 1].groupby("pool", sort=False):
                known = [found[str(name)], part] if name in found else [part]
                found[str(name)] = pd.concat(known).drop_duplicates("fingerprint", keep="last", ignore_index=True)
    return list(found.values())


def _files(source: str) -> list[Path]:
    path = LIBRARY if source == SHIPPED else Path(source)
    files = [path] if path.is_file() else sorted(path.rglob(NAME))
    if not files:
        raise ValueError(
            f"evaluation.library={source}: there is no {NAME} at this path, which task=calibrate writes; "
            f"{SHIPPED} is the library of this package"
        )
    return files


def _require_same(file: Path, rows: pd.DataFrame, identity: Identity) -> None:
    for column, value in asdict(identity).items():
        if len(others := np.setdiff1d(rows[column], [value])):
            raise ValueError(
                f"evaluation.library: {file} has ground truths of another {column}, {others[0]} instead of {value}: "
                "leave it out, or use it with evaluation.other_runs=true"
            )
