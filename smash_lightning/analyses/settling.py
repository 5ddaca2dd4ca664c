"""When does the ranking become stable? HyperNets are trained again, and scored every few epochs.

settling.csv: validation and test loss (nats) of each architecture with each HyperNet after some of its epochs.
settling.json: `ceiling`, about the highest Spearman that the noise of the ground truth allows; `moments`: for each
`epoch` Spearman of the mean loss over HyperNets `with_last` epoch's and `with_test_loss`, and mean `agreement` between
two HyperNets; `second_half`: Spearman with the ground truth after the last epoch less that at epoch `half`, paired.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from pydantic import PositiveInt

from smash_lightning.analyses import frame
from smash_lightning.evaluation.bootstrap import Bootstrap
from smash_lightning.evaluation.coefficients import Floats, mean_pairwise_spearman, pearson, ranks
from smash_lightning.evaluation.reliability import reliability
from smash_lightning.report.labels import count
from smash_lightning.report.tracker import Tracker
from smash_lightning.stages.experiment import Experiment
from smash_lightning.stages.search import search
from smash_lightning.stages.search import settling as history_of

COLUMNS = {
    "with_last": "with the last ranking",
    "with_test_loss": "with the test loss",
    "agreement": "between two HyperNets",
}


def settling(experiment: Experiment, tracker: Tracker, *, every: PositiveInt) -> float | None:
    """Trains HyperNets with the options of an earlier run, and scores its trained architectures every few epochs.

    Returns:
        The change over the second half; None where it is undefined.
    """
    epochs = experiment.search.epochs
    if every > epochs // 2:
        raise ValueError(f"task.every must be at most half of search.epochs={epochs}, got {every}")
    trained = frame.load_trained(experiment)
    changed = replace(experiment, ranking=replace(experiment.ranking, fixed_every=every))
    histories = [dict(history_of(path)) for path in search(changed, tracker, "settling", trained.architectures)]
    moments = sorted(set(histories[0]).intersection(*histories))
    losses = np.array([[history[epoch] for epoch in moments] for history in histories])
    cases = product(range(len(losses)), moments, trained.by_name())
    table = pd.DataFrame(cases, columns=["hypernet", "epoch", "fingerprint"]).assign(val_loss=losses.ravel())
    table["true_loss"] = table["fingerprint"].map(trained.by_name())
    found = follow(trained, moments, losses, experiment.evaluation.bootstrap, experiment.seed)
    panels = {label: {one["epoch"]: one[key] for one in found["moments"] if one[key]} for key, label in COLUMNS.items()}
    sample = f"{count(len(losses), 'HyperNet')}, {losses.shape[2]} architectures"
    note = f"{sample}, noise ceiling {frame.text(found['ceiling'])}; {frame.BARS}"
    x, y = "epoch of the HyperNets", "Spearman's rho of the scores"
    picture = frame.Picture("Agreement of the scores during the training", note, x, y)
    what = f"Spearman with the test loss after epoch {moments[-1]} less that after epoch {found['half']}"
    return frame.publish(experiment, "settling", table, found, panels, picture, [(what, found["second_half"])])


def follow(
    trained: frame.TrainedSample, epochs: Sequence[int], losses: Floats, resamples: int, seed: int
) -> dict[str, Any]:
    """The contents of settling.json from validation losses (HyperNets, epochs, n), nats; inf and NaN rank last.

    The `epochs` are rising, at least one of them in the first half.
    """
    losses = np.where(np.isfinite(losses), losses, np.inf)
    means = losses.mean(0)
    half = max(index for index, epoch in enumerate(epochs) if 2 * epoch <= epochs[-1])
    total = len(epochs)

    def coefficients(weights: Floats) -> Floats:
        target = ranks(trained.test_loss, weights)
        moments = [ranks(column, weights) for column in means]
        last = [pearson(moment, moments[-1], weights) for moment in moments]
        with_target = [pearson(moment, target, weights) for moment in moments]
        agreement = [mean_pairwise_spearman(list(losses[:, index]), weights) for index in range(total)]
        return np.stack([*last, *with_target, *agreement, with_target[-1] - with_target[half]], axis=1)

    *estimates, second_half = Bootstrap(len(trained.test_loss), resamples, seed).estimates(coefficients, 3 * total + 1)
    estimates[total - 1] = None  # the last with itself
    moments = [
        {"epoch": epoch} | dict(zip(COLUMNS, estimates[i::total], strict=True)) for i, epoch in enumerate(epochs)
    ]
    return {
        "architectures": len(trained.test_loss),
        "hypernets": len(losses),
        "ceiling": reliability(trained.trainings, resamples, seed).ceiling,
        "moments": moments,
        "second_half": second_half,
        "half": epochs[half],
    }
