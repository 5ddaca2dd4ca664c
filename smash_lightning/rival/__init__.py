"""What could beat the score?"""

from smash_lightning.rival.base import BaselineContext as BaselineContext
from smash_lightning.rival.base import Rival as Rival
from smash_lightning.rival.base import nan_to_inf as nan_to_inf
from smash_lightning.rival.beginning import initial_weights as initial_weights
from smash_lightning.rival.chance import RandomScore as RandomScore
from smash_lightning.rival.depth import Depth as Depth
from smash_lightning.rival.early_stopping import EarlyStopping as EarlyStopping
from smash_lightning.rival.gradient_norm import GradientNorm as GradientNorm
from smash_lightning.rival.jacobian_covariance import JacobianCovariance as JacobianCovariance
from smash_lightning.rival.naswot import Naswot as Naswot
from smash_lightning.rival.options import OneShot as OneShot
from smash_lightning.rival.options import RivalOptions as RivalOptions
from smash_lightning.rival.snip import Snip as Snip
from smash_lightning.rival.synflow import SynFlow as SynFlow
