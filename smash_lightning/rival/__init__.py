"""What could beat the score?"""

from smash_lightning.rival.base import Rival as Rival
from smash_lightning.rival.base import Setting as Setting
from smash_lightning.rival.base import worst_unless_finite as worst_unless_finite
from smash_lightning.rival.beginning import first_weights as first_weights
from smash_lightning.rival.chance import Chance as Chance
from smash_lightning.rival.depth import Depth as Depth
from smash_lightning.rival.early_stopping import EarlyStopping as EarlyStopping
from smash_lightning.rival.gradient_norm import GradientNorm as GradientNorm
from smash_lightning.rival.jacobian_covariance import JacobianCovariance as JacobianCovariance
from smash_lightning.rival.naswot import Naswot as Naswot
from smash_lightning.rival.options import OneShot as OneShot
from smash_lightning.rival.options import RivalOptions as RivalOptions
from smash_lightning.rival.snip import Snip as Snip
from smash_lightning.rival.synflow import SynFlow as SynFlow
