"""Does a race find the best candidates, and what does it save? Replayed over a table of losses of real HyperNets.

racing.csv: a row per race over the table: `candidates` that race, `repeat`, `spread` (std of their mean losses, nats),
`noise` (median std of the difference of two candidates on one image, nats), `recall` (share of the best `keep` that the
race kept) and `images` (share of all images that it took).
racing.json: `spread`, `noise`, and by the number of candidates the means over repeats with Student's intervals.
"""

from collections.abc import Sequence
from functools import partial
from typing import Annotated

import pandas as pd
import torch
from pydantic import Field
from torch import Tensor

from smash_lightning.analyses import frame
from smash_lightning.random_streams import Stream, rng
from smash_lightning.report.tracker import Tracker
from smash_lightning.stages.experiment import Experiment
from smash_lightning.stages.rank import scorer_of
from smash_lightning.strategies import Racing
from smash_lightning.strategies.racing import race

LABELS = {"recall": "recall", "images": "images"}


def racing(
    experiment: Experiment,
    tracker: Tracker,
    *,
    racing: Racing,
    architectures: int,
    candidates: tuple[int, ...],
    repeats: Annotated[int, Field(ge=2)],
) -> float:
    """Scores candidates in full, then races samples of them; conf/task/racing.yaml explains the options.

    Returns:
        Mean recall at the largest number of candidates.
    """
    if not candidates or max(candidates) > architectures or min(candidates) < 2:
        raise ValueError(f"task.candidates={list(candidates)} must be between 2 and task.architectures={architectures}")
    scorer, _ = scorer_of(experiment)
    pool = [experiment.candidates.sample(rng(Stream.RACING, experiment.seed, index)) for index in range(architectures)]
    score = partial(scorer.score_images, positions=torch.arange(len(experiment.data.validation)))
    scores = frame.run_jobs(score, pool, experiment.engine, "scoring", lambda one: one.fingerprint)
    values = torch.stack(scores)  # (candidates, HyperNets + 1, images)
    table = pd.DataFrame(replay(racing, values, size, i) for size in candidates for i in range(repeats))
    found = {
        size: {name: frame.t_interval(table.loc[table["candidates"] == size, name].to_numpy()) for name in LABELS}
        for size in sorted(set(candidates))
    }
    spread, noise = float(table["spread"].mean()), float(table["noise"].mean())
    panels = frame.panels(found, LABELS)
    results = {"spread": spread, "noise": noise, "keep": racing.keep, "min_keep": racing.min_keep}
    note = f"std of mean losses {spread:.3g} nats, of a difference on one image {noise:.2g} nats; 95 % intervals"
    picture = frame.Picture("What a race finds of the best, and what it takes", note, "candidates", "share", log_x=True)
    frame.publish(experiment, "racing", table, results | {"by_candidates": found}, panels, picture)
    return found[max(candidates)]["recall"].value


def replay(racing: Racing, values: Tensor, size: int, repeat: int) -> dict[str, float]:
    """A row of racing.csv: a race of `size` of the candidates, in an order of the images that `repeat` gives."""
    values = values[rng(Stream.REPLAY, size, repeat).sample(range(len(values)), size)]
    table, keep = values[:, :-1].mean(1), racing.kept(size)  # mean over HyperNets, (candidates, images)
    state = race(racing, size, table.shape[1], repeat, lambda active, at: [values[i][:, at] for i in active])
    differences = table[::2][: size // 2] - table[1::2][: size // 2]
    return {
        "candidates": size,
        "repeat": repeat,
        "spread": float(table.mean(1).std()),
        "noise": float(differences.std(1).median()),
        "recall": recall(table, state.active, keep),
        "images": sum(state.images) / table.numel(),
    }


def recall(table: Tensor, kept: Sequence[int], count: int) -> float:
    """Share of the `count` lowest mean losses of `table` (candidates, images) that `kept` holds."""
    best = set(table.mean(1).argsort(stable=True)[:count].tolist())
    return len(best & set(kept)) / count
