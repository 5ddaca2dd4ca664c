"""What is a score?"""

from smash_lightning.scoring.batch_norm_policy import BatchNormPolicy as BatchNormPolicy
from smash_lightning.scoring.batch_norm_policy import BatchStatistics as BatchStatistics
from smash_lightning.scoring.batch_norm_policy import RecalibratedStatistics as RecalibratedStatistics
from smash_lightning.scoring.batch_norm_policy import RunningStatistics as RunningStatistics
from smash_lightning.scoring.batch_norm_policy import ScoringData as ScoringData
from smash_lightning.scoring.batch_norm_policy import WarmStart as WarmStart
from smash_lightning.scoring.constraints import Constraints as Constraints
from smash_lightning.scoring.constraints import measured_latency as measured_latency
from smash_lightning.scoring.pareto import pareto_front as pareto_front
from smash_lightning.scoring.ranking_callback import RankingCallback as RankingCallback
from smash_lightning.scoring.scorer import Score as Score
from smash_lightning.scoring.scorer import Scorer as Scorer
from smash_lightning.scoring.smash_score import CandidateMetrics as CandidateMetrics
from smash_lightning.scoring.smash_score import LossPlusSizeRank as LossPlusSizeRank
from smash_lightning.scoring.smash_score import SmashScore as SmashScore
from smash_lightning.scoring.smash_score import ValidationError as ValidationError
from smash_lightning.scoring.smash_score import ValidationLoss as ValidationLoss
