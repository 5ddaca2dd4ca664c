"""How is a prediction had from generated weights?"""

from smash_lightning.ranking.policy.base import BatchNormPolicy as BatchNormPolicy
from smash_lightning.ranking.policy.base import Predictor as Predictor
from smash_lightning.ranking.policy.base import ScoringData as ScoringData
from smash_lightning.ranking.policy.batch import BatchStatistics as BatchStatistics
from smash_lightning.ranking.policy.recalibrated import RecalibratedStatistics as RecalibratedStatistics
from smash_lightning.ranking.policy.running import RunningStatistics as RunningStatistics
from smash_lightning.ranking.policy.softened import Softened as Softened
from smash_lightning.ranking.policy.warm_start import WarmStart as WarmStart
