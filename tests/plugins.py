"""What a user writes who extends the package from outside: one of each kind of plug-in, each a few lines."""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import lightning as L
import torch
from torch import Tensor, nn

from smash_lightning.architecture import Architecture, Block, Convolution, ImageSpec, Limits, Op
from smash_lightning.baselines import Baseline, BaselineContext
from smash_lightning.encoding import Encoding
from smash_lightning.hypernet import SharedWeights, TrainedHyperNet, WeightSource
from smash_lightning.network import Weights
from smash_lightning.scoring import BatchNormPolicy, CandidateMetrics, RecalibratedStatistics, ScoringData, SmashScore
from smash_lightning.scoring.batch_norm_policy import Predictor
from smash_lightning.search_space import SearchSpace
from smash_lightning.strategies import History, Proposal, Strategy


@dataclass(frozen=True)
class Chains(SearchSpace):
    """Blocks of two banks that are read and written in turn, each op with a dilation of its own."""

    image_spec: ImageSpec
    size_of_banks: int
    ops: int
    dilations: tuple[int, ...] = (1, 2, 3)
    blocks: int = field(default=2)

    @property
    def limits(self) -> Limits:
        channels = (2 * self.size_of_banks,) * self.blocks
        return Limits(
            dimensions=self.image_spec.dimensions,
            base=self.size_of_banks,
            max_units=1,
            inputs=channels,
            memory=channels,
            widths=(self.size_of_banks,),
            positions=1,
            kernels=(3,),
            dilations=tuple(self.dilations),
            groups=(1,),
            bottleneck=2,
            bottleneck_capped=False,
        )

    def sample(self, rng: random.Random, progress: float = 1.0) -> Architecture:
        return Architecture(tuple(self._block(rng, [None] * rng.randint(1, self.ops)) for _ in range(self.blocks)))

    def perturb(self, architecture: Architecture, rng: random.Random, probability: float) -> Architecture:
        kept = [[None if rng.random() < probability else op for op in block.ops] for block in architecture.blocks]
        return Architecture(tuple(self._block(rng, ops) for ops in kept))

    def violation(self, architecture: Architecture) -> str | None:
        for b, block in enumerate(architecture.blocks):
            if any(op.read != (o % 2,) or op.write != (1 - o % 2,) for o, op in enumerate(block.ops)):
                return f"block {b} is no chain"
            if len(block.ops) > self.ops:
                return f"block {b} has {len(block.ops)} ops, more than {self.ops}"
        return self.limits.violation(architecture)

    def _block(self, rng: random.Random, ops: Sequence[Op | None]) -> Block:
        axes, dilations = self.image_spec.dimensions, list(self.dilations)
        made = []
        for o, op in enumerate(ops):
            paths = ((Convolution((3,) * axes, (rng.choice(dilations),) * axes),),) if op is None else op.paths
            made.append(Op((o % 2,), (1 - o % 2,), 1, 2 * self.size_of_banks, paths))
        return Block(self.size_of_banks, 2, tuple(made))


@dataclass(frozen=True)
class Halved(BatchNormPolicy):
    """Recalibrated predictions from weights that are scaled."""

    factor: float = 0.5

    def predictor(
        self, architecture: Architecture, hypernet: TrainedHyperNet, weights: Weights, data: ScoringData
    ) -> Predictor:
        scaled = {name: weight * self.factor for name, weight in weights.items()}
        return RecalibratedStatistics().predictor(architecture, hypernet, scaled, data)


@dataclass(frozen=True)
class Smallest(SmashScore):
    """The fewest parameters first, and among equals the lowest loss."""

    def __call__(self, scored: Sequence[CandidateMetrics]) -> list[float]:
        return [metrics.params + math.tanh(metrics.val_loss) for metrics in scored]


@dataclass(frozen=True)
class FromTheWorst(Strategy):
    """Perturbs the last of the ranking."""

    count: int
    probability: float
    name = "from_the_worst"
    sequential = False

    def propose(self, space: SearchSpace, history: History, rng: random.Random) -> Proposal:
        worst = max(history.scored, key=lambda candidate: candidate.smash_score).architecture
        return space.perturb(worst, rng, self.probability), worst.fingerprint


@dataclass(frozen=True)
class Dilation(Baseline):
    """Larger dilations predict a lower test loss."""

    weight: float

    def predict(self, architecture: Architecture, context: BaselineContext) -> float:
        return -self.weight * sum(d for op in architecture.ops() for path in op.paths for c in path for d in c.dilation)


@dataclass(frozen=True)
class NotANumber(Baseline):
    """Predicts NaN."""

    def predict(self, architecture: Architecture, context: BaselineContext) -> float:
        return math.nan


@dataclass(frozen=True)
class Undefined(Baseline):
    """Undefined for some architectures."""

    def predict(self, architecture: Architecture, context: BaselineContext) -> float:
        return math.inf if int(architecture.fingerprint, 16) % 2 else float(torch.zeros(()))


@dataclass(frozen=True)
class Broken(Baseline):
    """Raises an error."""

    def predict(self, architecture: Architecture, context: BaselineContext) -> float:
        raise KeyError("no such layer")


class Scaled(WeightSource):
    """A HyperNet from outside the package: each 1x1 convolution is a shared matrix, scaled by a small network of c.

    It takes what it needs from the package by composition: shared weights, and the encoding.
    """

    def __init__(
        self, limits: Limits, image_spec: ImageSpec, generator: torch.Generator | None, *, hidden: int, names: list[str]
    ) -> None:
        super().__init__(limits, image_spec)
        if hidden < 1:
            raise ValueError(f"hypernet.hidden must be at least 1, got {hidden}")
        self.encoding, self.names = Encoding(limits, 2), names
        self.common = SharedWeights(limits, image_spec, generator)
        channels = self.encoding.layout.channels
        self.inner = nn.Parameter(nn.init.orthogonal_(torch.empty(hidden, channels), generator=generator))
        self.outer = nn.Parameter(nn.init.orthogonal_(torch.empty(1, hidden), generator=generator))

    def forward(self, architecture: Architecture, z: Tensor | None) -> Weights:
        c = self.encoding.encode(architecture, self.inner.device)[0, :, 0]
        gains = iter((self.outer @ torch.tanh(self.inner @ c))[0].exp())
        weights = dict(self.common(architecture, None))
        for name in weights:
            if name.endswith("pointwise.weight"):
                weights[name] = weights[name] * next(gains) + (0 if z is None else 0.01 * z)
        return weights

    def noise_shape(self, architecture: Architecture) -> tuple[int, ...] | None:
        return (1,)

    def undecayed(self) -> list[nn.Parameter]:
        return self.common.undecayed()


class Noted(L.Callback):
    """Writes a line into a file where a training starts: its name, how many it has seen, and what is trained."""

    def __init__(self, path: str, name: str) -> None:
        self.path, self.name, self.count = path, name, 0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.count += 1
        with open(self.path, "a") as file:
            file.write(f"{self.name}-{self.count}-{type(pl_module).__name__}\n")
