"""What could beat the score? Predictors without SMASH, one a file."""

from smash_lightning.baselines.base import Baseline, BaselineContext, BaselineOptions, OneShot, nan_to_inf
from smash_lightning.baselines.depth import Depth
from smash_lightning.baselines.early_stopping import EarlyStopping
from smash_lightning.baselines.gradient_norm import GradientNorm
from smash_lightning.baselines.initialization import initial_weights
from smash_lightning.baselines.jacobian_covariance import JacobianCovariance
from smash_lightning.baselines.naswot import Naswot
from smash_lightning.baselines.random_score import RandomScore
from smash_lightning.baselines.snip import Snip
from smash_lightning.baselines.synflow import SynFlow
