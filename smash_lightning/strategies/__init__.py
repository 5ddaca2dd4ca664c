"""Which architecture is scored next? One strategy a file; your own strategy subclasses `Strategy`."""

from smash_lightning.strategies.base import Gradient, History, Proposal, ScoredCandidate, Strategy
from smash_lightning.strategies.evolution import Evolution
from smash_lightning.strategies.gradient import ArchitecturalGradient
from smash_lightning.strategies.markov import Markov
from smash_lightning.strategies.options import RankingOptions
from smash_lightning.strategies.perturb import Perturb
from smash_lightning.strategies.predictor import LearnedPredictor
from smash_lightning.strategies.racing import Racing
from smash_lightning.strategies.random import Random
from smash_lightning.strategies.ranking import Candidate, Ranking, Row, State, rank, state_from_plain, state_to_plain
from smash_lightning.strategies.recurrent import RecurrentSampler
from smash_lightning.strategies.sampler import AutoregressiveSampler
