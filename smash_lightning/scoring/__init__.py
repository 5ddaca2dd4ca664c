"""What is a score?"""

from smash_lightning.scoring.batch_norm_policy import (
    BatchNormPolicy,
    BatchStatistics,
    RecalibratedStatistics,
    RunningStatistics,
    ScoringData,
    WarmStart,
)
from smash_lightning.scoring.constraints import Bounds, measured_latency
from smash_lightning.scoring.ranking_callback import RankingCallback
from smash_lightning.scoring.scorer import Score, Scorer
from smash_lightning.scoring.smash_score import (
    CandidateMetrics,
    LossPlusSizeRank,
    SmashScore,
    ValidationError,
    ValidationLoss,
)
