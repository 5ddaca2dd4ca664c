"""How are HyperNets and standalone networks trained?"""

from smash_lightning.training.base import DivergedError
from smash_lightning.training.callbacks import (
    GracefulStop,
    Metrics,
    Progress,
    QueueLogger,
    QueueProgress,
    silence_lightning,
)
from smash_lightning.training.retrain_options import RetrainOptions, networks_side_by_side
from smash_lightning.training.search_module import HyperNetModule, SearchOptions
from smash_lightning.training.standalone_module import (
    RetrainModule,
    classification_metrics,
    load_classifier,
    log_probabilities,
)
