"""Do more HyperNets help? python docs/results/hypernets.py > docs/results/hypernets.json.

The validation losses of one, two or three HyperNets of a run are averaged, over all choices of them, in the six runs of
`default_pools.csv`. For more, Spearman-Brown's formula extrapolates from the agreement of two HyperNets.
"""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pandas as pd
from collect import record
from pooled import RESAMPLES, RUN_SEEDS, RUNS, both, drawn, mean, read_pools

from smash_lightning.evaluation.calibration import Draws, centered_estimate
from smash_lightning.evaluation.coefficients import Floats
from smash_lightning.evaluation.sample import numbered

MORE = (5, 10)  # HyperNets


def of_run(table: pd.DataFrame, weights: Floats) -> dict[str, Draws]:
    """Agreement between two HyperNets, and of the mean of some with the test loss, over all choices."""
    losses = numbered(table, "val_loss").T
    found = {"two HyperNets with each other": mean([both(a, a, b, weights) for a, b in combinations(losses, 2)])}
    for count in range(1, len(losses) + 1):
        means = [np.mean(some, axis=0) for some in combinations(losses, count)]
        test_loss = table["true_loss"].to_numpy(float)
        found[f"{count} with the test loss"] = mean([both(one, one, test_loss, weights) for one in means])
    return found


def extrapolated(between: Draws, three: Draws, count: int) -> Draws:
    """Agreement of `count` HyperNets with the test loss, from that of three."""

    def factor(agreement: Floats | float) -> Floats:
        reliability = [n * agreement / (1 + (n - 1) * agreement) for n in (count, 3)]
        return np.sqrt(reliability[0] / reliability[1])

    return three[0] * float(factor(between[0])), three[1] * factor(between[1])


def figures(tables: Sequence[pd.DataFrame], resamples: int) -> dict[str, object]:
    """What hypernets.json holds: means over runs, with the intervals of a stratified bootstrap."""
    runs = [of_run(*pair) for pair in zip(tables, drawn(tables, RUN_SEEDS, resamples), strict=True)]
    found = {name: mean([run[name] for run in runs]) for name in runs[0]}
    between, one, *_, three = found.values()
    found |= {f"{count} with the test loss, extrapolated": extrapolated(between, three, count) for count in MORE}
    rows = {name: centered_estimate(draws) for name, draws in found.items()}
    return {"runs": len(runs), "resamples": resamples, "rows": rows, "three minus one": centered_estimate(three, one)}


if __name__ == "__main__":
    print(record(["python docs/results/hypernets.py"], {"six runs": figures(read_pools(RUNS), RESAMPLES)}))
