"""What else does a finished run show? One file for each analysis, over one shared frame."""

from smash_lightning.analyses.averaging import averaging
from smash_lightning.analyses.benchmark import benchmark
from smash_lightning.analyses.corruption import corruption
from smash_lightning.analyses.datasets import datasets
from smash_lightning.analyses.draw import draw
from smash_lightning.analyses.gradient import gradient
from smash_lightning.analyses.gradient_conflict import gradient_conflict
from smash_lightning.analyses.racing import racing
from smash_lightning.analyses.replay import replay
from smash_lightning.analyses.settling import settling
from smash_lightning.analyses.soak import soak
from smash_lightning.analyses.strategies import strategies
from smash_lightning.analyses.sweep_report import sweep_report
from smash_lightning.analyses.tables import tables
from smash_lightning.analyses.variants import Variant, variants
