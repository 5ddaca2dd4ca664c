"""Which architecture to score next? One strategy a file; a strategy of your own subclasses `Strategy`."""

from smash_lightning.ranking.proposal.autoregressive import AutoregressiveSampler as AutoregressiveSampler
from smash_lightning.ranking.proposal.base import Entry as Entry
from smash_lightning.ranking.proposal.base import Gradient as Gradient
from smash_lightning.ranking.proposal.base import History as History
from smash_lightning.ranking.proposal.base import Proposal as Proposal
from smash_lightning.ranking.proposal.base import Strategy as Strategy
from smash_lightning.ranking.proposal.base import best as best
from smash_lightning.ranking.proposal.evolution import Evolution as Evolution
from smash_lightning.ranking.proposal.gradient import ArchitecturalGradient as ArchitecturalGradient
from smash_lightning.ranking.proposal.markov import Markov as Markov
from smash_lightning.ranking.proposal.perturb import Perturb as Perturb
from smash_lightning.ranking.proposal.predictor import LearnedPredictor as LearnedPredictor
from smash_lightning.ranking.proposal.random import Random as Random
