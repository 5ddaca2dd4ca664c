"""What could beat the score? Predictors without SMASH, one a file."""

from smash_lightning.baselines.base import Baseline as Baseline
from smash_lightning.baselines.base import BaselineContext as BaselineContext
from smash_lightning.baselines.base import BaselineOptions as BaselineOptions
from smash_lightning.baselines.base import OneShot as OneShot
from smash_lightning.baselines.base import nan_to_inf as nan_to_inf
from smash_lightning.baselines.depth import Depth as Depth
from smash_lightning.baselines.early_stopping import EarlyStopping as EarlyStopping
from smash_lightning.baselines.gradient_norm import GradientNorm as GradientNorm
from smash_lightning.baselines.initialization import initial_weights as initial_weights
from smash_lightning.baselines.jacobian_covariance import JacobianCovariance as JacobianCovariance
from smash_lightning.baselines.naswot import Naswot as Naswot
from smash_lightning.baselines.random_score import RandomScore as RandomScore
from smash_lightning.baselines.snip import Snip as Snip
from smash_lightning.baselines.synflow import SynFlow as SynFlow
