"""How generated weights become predictions: where BatchNorm takes its statistics from."""

from smash_lightning.scoring.batch_norm_policy.base import BatchNormPolicy as BatchNormPolicy
from smash_lightning.scoring.batch_norm_policy.base import Predictor as Predictor
from smash_lightning.scoring.batch_norm_policy.base import ScoringData as ScoringData
from smash_lightning.scoring.batch_norm_policy.batch import BatchStatistics as BatchStatistics
from smash_lightning.scoring.batch_norm_policy.recalibrated import RecalibratedStatistics as RecalibratedStatistics
from smash_lightning.scoring.batch_norm_policy.running import RunningStatistics as RunningStatistics
from smash_lightning.scoring.batch_norm_policy.warm_start import WarmStart as WarmStart
