"""Writes the page on the calibrated prediction: python docs/results/calibration.py > docs/results/calibration.md.

Each pool of the shipped library is predicted with the other three as library. The last column is the mean over
pools with its stratified bootstrap interval: architectures are drawn anew within each pool.
"""

import numpy as np
import pandas as pd
from collect import markdown
from pooled import mean, read_pools

from smash_lightning.evaluation.calibration import (
    FEATURES,
    PENALTY,
    SCORED,
    Draws,
    Evaluation,
    centered_estimate,
    single_predictors,
)
from smash_lightning.evaluation.ground_truths import LIBRARY, NAME
from smash_lightning.evaluation.ridge import Fitter, fit_others

POOLS = ("seed 0", "seed 1", "seed 2", "seed 100")  # in the order of the file
SINGLE = ("val_loss", "smash_score", "val_error", "weight_sharing", "unconditional", "early_stopping", "params")
HEAD = """# Calibrated prediction on digits

`python docs/results/calibration.py` wrote this page from `smash_lightning/evaluation/library/digits/ground_truths.csv`:
four runs of the default command (commit 9393eef, seeds 0, 1, 2 and 100; 60 architectures of the sample each, five
trainings of each). Spearman with the mean test loss and 95 % intervals; each pool is predicted with the other three as
library. 1,000 resamples, in which everything is fitted again. The features were fixed before seed 100 was run; all four
pools were at hand while the code was written.
"""
TAIL = """
## A run that finds the shipped library

`python run.py seed=0` at commit 04590b5 (Intel Xeon, 2 CPUs), calibrated again by `python run.py task=calibrate
checkpoint=FOLDER` and by the same with `'evaluation.library=[]'`. Of the 240 rows that fit, the 60 of seed 0 are left
out, as this run has scored the same architectures; 24 of these are in its sample too, with nearly the same test losses.

| | 60 own + 180 earlier | 60 own |
|---|---|---|
| calibrated | 0.59 [0.31, 0.78] | 0.62 [0.23, 0.88] |
| minus val_loss | 0.25 [0.07, 0.48] | 0.28 [-0.04, 0.61] |
| minus smash_score | 0.18 [-0.04, 0.40] | 0.21 [-0.09, 0.51] |
| minus weight_sharing | 0.26 [0.09, 0.47] | 0.28 [-0.04, 0.60] |
| minus params | 0.33 [0.04, 0.58] | 0.35 [0.01, 0.65] |

The 180 rows alone have 0.49 [0.28, 0.69]. They do not raise the estimate of this sample; they make its intervals
narrower, so that the difference from the validation loss is significant.

## Six runs together

`docs/results/pooled.py` on `default_pools.csv`, the six runs of the default that [Results](../results.md) has (seeds 0
to 4, and 7): 360 architectures. None of them chose a feature, and seeds 3, 4 and 7 share no architecture with the
shipped library; with seeds 0, 1 and 2 the pool of the same seed is no part of it. A figure is the mean over runs. Its
interval is of a stratified bootstrap: architectures are drawn anew within each run, also where the run is another's
library, and everything is fitted again. The best single predictor is one of 19, chosen in each resample.

<!-- results: docs/results/pooled.json pooled -->
<!-- end of results -->

- **Above the validation loss, the score, the validation error, early stopping and parameters with intervals off zero**;
  above weight sharing and the unconditional HyperNet at the edge of it.
- **Above the single predictor that the other runs recommend**, and not significantly above the one that is best on the
  very test losses that it is compared on.
- **The goal, 0.9 of the noise ceiling, is missed.**
- **Own ground truths add nothing visible to the shipped library**, whose fixed coefficients do as well with narrower
  intervals; own ones alone are not significantly better than the loss.
- **A larger library adds nothing visible**: with the other five runs as well, 480 to 540 earlier rows, it has the same
  coefficient. What is known of an architecture limits the prediction, and not the number of ground truths.

`docs/results/gaussian_process.py` fits a Gaussian process with noise from the five trainings to the same rows, folds
and resamples (300 of them): minus the linear model it has .01 [-.06, .09] on own ground truths, and .00 [-.05, .04]
with the shipped library. It is no part of the package.

Before it was computed, .58 [.49, .66] was expected, .07 [.00, .14] above the loss and .06 [-.01, .13] above weight
sharing."""


def of_pool(tables: list[pd.DataFrame], index: int, resamples: int) -> dict[str, Draws]:
    """Spearman of each predictor in one pool, and in each resample."""
    own, library = tables[index], tables[:index] + tables[index + 1 :]
    evaluation = Evaluation(own, resamples, np.random.default_rng(index))
    fitter = Fitter.of(own, library, FEATURES)
    fixed = fitter.matrix @ fit_others(fitter.others, PENALTY) if fitter.others else fitter.matrix[:, 0]
    predicted = {
        "calibrated, 60 own + 180 earlier": evaluation.predict(fitter),
        "calibrated, 60 own": evaluation.predict(fitter, library=False),
        "calibrated, 180 earlier": (fixed, fixed),
        "calibrated, without baselines": evaluation.predict(Fitter.of(own, library, SCORED)),
    }
    predicted |= {name: (column, column) for name, column in single_predictors(own).items() if name in SINGLE}
    return {name: evaluation.rho(pair) for name, pair in predicted.items()}


def page(resamples: int = 1_000) -> str:
    """The whole page."""
    tables = read_pools(LIBRARY / "digits" / NAME)
    pools = [of_pool(tables, index, resamples) for index in range(len(tables))]
    names, first, loss = list(pools[0]), "calibrated, 60 own + 180 earlier", "val_loss"
    columns = [*pools, {name: mean([pool[name] for pool in pools]) for name in names}]
    header = ["predictor", *POOLS, "mean"]
    values = [[name, *(f"{centered_estimate(one[name]):.2f}" for one in columns)] for name in names]
    pairs = [(first, other) for other in names[1:]] + [("calibrated, 60 own", loss), (loss, "smash_score")]
    differences = [
        [f"{a}, minus {b}", *(f"{centered_estimate(one[a], one[b]):.2f}" for one in columns)] for a, b in pairs
    ]
    parts = [HEAD, markdown(header, values), "\n## Differences, paired\n", markdown(header, differences), TAIL]
    return "\n".join(parts)


if __name__ == "__main__":
    print(page())
