"""What else does a finished run show? One file for each analysis, over one shared frame."""

from smash_lightning.analyses.averaging import averaging as averaging
from smash_lightning.analyses.benchmark import benchmark as benchmark
from smash_lightning.analyses.corruption import corruption as corruption
from smash_lightning.analyses.datasets import datasets as datasets
from smash_lightning.analyses.draw import draw as draw
from smash_lightning.analyses.gradient import gradient as gradient
from smash_lightning.analyses.racing import racing as racing
from smash_lightning.analyses.settling import settling as settling
from smash_lightning.analyses.strategies import strategies as strategies
from smash_lightning.analyses.sweep_report import sweep_report as sweep_report
from smash_lightning.analyses.variants import Variant as Variant
from smash_lightning.analyses.variants import variants as variants
