"""How generated weights become predictions: where BatchNorm takes its statistics from."""

from smash_lightning.scoring.batch_norm_policy.base import BatchNormPolicy, Predictor, ScoringData
from smash_lightning.scoring.batch_norm_policy.batch import BatchStatistics
from smash_lightning.scoring.batch_norm_policy.recalibrated import RecalibratedStatistics
from smash_lightning.scoring.batch_norm_policy.running import RunningStatistics
from smash_lightning.scoring.batch_norm_policy.warm_start import WarmStart
