"""How much of a search step's gradient depends on the architecture, and do gradients of architectures conflict?

Where weights that architectures share get the same gradients from all of them, conditioning has little to gain.

gradient_conflict.csv: a row per state (`start`, `trained`), HyperNet and ordered pair of architectures: mean inner
product and cosine of their gradients on the `same` batch and on two `other` ones; of an architecture with itself too.
gradient_conflict.json: for each state mean `cosines`, and `shares` of the variance of a step's gradient: of the
architecture, of the batch, and of their interaction (two-way analysis of variance, one architecture and batch a step).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice, product
from typing import Annotated, Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from smash_lightning.analyses import frame
from smash_lightning.architecture import Architecture
from smash_lightning.evaluation.bootstrap import Bootstrap, Estimate
from smash_lightning.evaluation.coefficients import Floats
from smash_lightning.hypernet import WeightSource
from smash_lightning.network import UseBatchStatistics, forward
from smash_lightning.random_streams import Stream, generator, rng
from smash_lightning.report.labels import count
from smash_lightning.report.tracker import Tracker
from smash_lightning.stages.experiment import Experiment
from smash_lightning.stages.rank import hypernets_of
from smash_lightning.stages.search import sampling_space

MATRICES = ("product_same", "product_other", "cosine_same", "cosine_other")
COSINES = ("two architectures, one batch", "one architecture, two batches", "two architectures, two batches")
SHARES = ("architecture", "batch", "architecture and batch together")
Matrices = dict[str, Floats]  # by the names in MATRICES, each (n, n) over architectures


@dataclass(frozen=True)
class Gradients:
    """Gradients of a search step for each of some architectures and batches, without an update of the weights."""

    architectures: Sequence[Architecture]
    batches: Sequence[tuple[Tensor, Tensor]]  # images and labels
    sources: dict[tuple[str, int], WeightSource]  # by state and HyperNet
    seed: int

    def __call__(self, job: tuple[str, int]) -> Matrices:
        """The matrices of one HyperNet."""
        source, columns = self.sources[job], []
        for index, architecture in enumerate(self.architectures):
            for step, (images, labels) in enumerate(self.batches):
                z = source.noise(architecture, generator(Stream.NOISE, self.seed, step, index))
                weights, spec = source(architecture, z), source.image_spec
                logits = forward(architecture, spec, weights, images, UseBatchStatistics())
                loss = F.cross_entropy(logits, labels)
                parts = torch.autograd.grad(loss, list(source.parameters()), materialize_grads=True)
                columns.append(torch.cat([part.flatten() for part in parts]))
        gradients = torch.stack(columns).double().unflatten(0, (len(self.architectures), -1)).numpy()
        return inner_products(gradients)


def inner_products(gradients: Floats) -> Matrices:
    """Mean inner products and cosines of gradients (n, batches, parameters) over batches, and over pairs of these."""
    n, batches, _ = gradients.shape
    found = []
    for some in (gradients, gradients / np.linalg.norm(gradients, axis=2, keepdims=True)):
        flat = some.reshape(n * batches, -1)
        every = (flat @ flat.T).reshape(n, batches, n, batches)
        same = np.einsum("abcb->ac", every)
        found += [same / batches, (every.sum((1, 3)) - same) / (batches * (batches - 1))]
    return dict(zip(MATRICES, found, strict=True))


def statistics(found: Matrices, weights: Floats) -> Floats:
    """COSINES and SHARES in each resample with weights (r, n), (r, 6).

    Mean inner products estimate sums of components of variance: of an architecture with itself on two batches that of
    the architecture plus the squared mean gradient, and so on. The estimates are those of the usual mean squares.
    """
    once = {name: frame.mean(np.diag(matrix), weights) for name, matrix in found.items()}
    pairs = weights.sum(1) ** 2 - (weights**2).sum(1)  # of different architectures, not of copies of one
    off = {name: matrix - np.diag(np.diag(matrix)) for name, matrix in found.items()}
    between = {name: ((weights @ matrix) * weights).sum(1) / pairs for name, matrix in off.items()}
    cosines = (between["cosine_same"], once["cosine_other"], between["cosine_other"])
    nothing = between["product_other"]
    total, architecture = once["product_same"] - nothing, once["product_other"] - nothing
    batch = between["product_same"] - nothing
    shares = (architecture / total, batch / total, 1 - (architecture + batch) / total)
    return np.stack([*cosines, *shares], axis=1)


def gradient_conflict(
    experiment: Experiment,
    tracker: Tracker,
    *,
    architectures: frame.AtLeastFive,
    batches: Annotated[int, Field(ge=2)],
) -> float | None:
    """Returns the architecture's share at the trained weights, or None; conf/task/gradient_conflict.yaml explains."""
    space, data = sampling_space(experiment), experiment.data.ordered(Stream.ANALYSIS, experiment.seed)
    pool = [space.sample(rng(Stream.ANALYSIS, experiment.seed, index)) for index in range(architectures)]
    trained = [one.weights for one in hypernets_of(experiment)]
    start = [experiment.hypernet.build(experiment.space, experiment.seed_of(index)) for index in range(len(trained))]
    states = {"start": start, "trained": trained}
    sources = {(state, index): one for state, some in states.items() for index, one in enumerate(some)}
    some = list(islice(data.train_dataloader(), batches))
    if len(some) < batches:
        raise ValueError(f"task.batches={batches}: there are {len(some)} batches of training images")
    compute, jobs = Gradients(pool, some, sources, experiment.seed), list(sources)
    matrices = frame.run_jobs(compute, jobs, experiment.engine, "gradients", "{0[0]}, HyperNet {0[1]}".format)
    pairs = pd.DataFrame(product(range(len(pool)), repeat=2), columns=["architecture", "other"])
    table = pd.concat(
        pairs.assign(state=state, hypernet=index, **{name: matrix.ravel() for name, matrix in found.items()})
        for (state, index), found in zip(jobs, matrices, strict=True)
    )
    found = compare(table, experiment.evaluation.bootstrap, experiment.seed)
    panels = {
        label: {f"{state}: {name}": one for state, part in found.items() for name, one in part[key].items()}
        for key, label in (("cosines", "cosine"), ("shares", "share of a step's variance"))
    }
    note = f"{len(pool)} architectures, {batches} batches, {count(len(trained), 'HyperNet')}; {frame.BARS}"
    picture = frame.Picture("Gradients of architectures and batches", note, x="")
    results = {"architectures": len(pool), "batches": batches, "hypernets": len(trained), "states": found}
    frame.publish(experiment, "gradient_conflict", table, results, panels, picture)
    share: Estimate | None = found["trained"]["shares"]["architecture"]
    return share.value if share else None


def compare(table: pd.DataFrame, resamples: int, seed: int) -> dict[str, dict[str, Any]]:
    """The states of gradient_conflict.json: of the means over HyperNets, by `resamples` of the architectures."""
    found: dict[str, dict[str, Any]] = {}
    for state, part in table.groupby("state"):
        means = part.groupby(["architecture", "other"])[list(MATRICES)].mean()
        matrices = {name: means[name].unstack().to_numpy() for name in MATRICES}
        bootstrap = Bootstrap(len(matrices["product_same"]), resamples, seed)
        estimates = iter(bootstrap.estimates(partial(statistics, matrices), len(COSINES + SHARES)))
        groups = (("cosines", COSINES), ("shares", SHARES))
        found[str(state)] = {key: {name: next(estimates) for name in names} for key, names in groups}
    return found
