"""Which architecture is scored next? One strategy a file; your own strategy subclasses `Strategy`."""

from smash_lightning.strategies.base import Gradient as Gradient
from smash_lightning.strategies.base import History as History
from smash_lightning.strategies.base import Proposal as Proposal
from smash_lightning.strategies.base import ScoredCandidate as ScoredCandidate
from smash_lightning.strategies.base import Strategy as Strategy
from smash_lightning.strategies.evolution import Evolution as Evolution
from smash_lightning.strategies.gradient import ArchitecturalGradient as ArchitecturalGradient
from smash_lightning.strategies.markov import Markov as Markov
from smash_lightning.strategies.options import RankingOptions as RankingOptions
from smash_lightning.strategies.perturb import Perturb as Perturb
from smash_lightning.strategies.predictor import LearnedPredictor as LearnedPredictor
from smash_lightning.strategies.racing import Racing as Racing
from smash_lightning.strategies.random import Random as Random
from smash_lightning.strategies.ranking import Candidate as Candidate
from smash_lightning.strategies.ranking import Ranking as Ranking
from smash_lightning.strategies.ranking import Row as Row
from smash_lightning.strategies.ranking import State as State
from smash_lightning.strategies.ranking import rank as rank
from smash_lightning.strategies.ranking import state_from_plain as state_from_plain
from smash_lightning.strategies.ranking import state_to_plain as state_to_plain
from smash_lightning.strategies.sampler import AutoregressiveSampler as AutoregressiveSampler
