"""How are HyperNets and standalone networks trained?"""

from smash_lightning.checkpoint import AtomicCheckpointIO as AtomicCheckpointIO
from smash_lightning.checkpoint import load_checkpoint as load_checkpoint
from smash_lightning.training.base import DivergedError as DivergedError
from smash_lightning.training.callbacks import GracefulStop as GracefulStop
from smash_lightning.training.callbacks import Metrics as Metrics
from smash_lightning.training.callbacks import Progress as Progress
from smash_lightning.training.callbacks import QueueLogger as QueueLogger
from smash_lightning.training.callbacks import QueueProgress as QueueProgress
from smash_lightning.training.callbacks import silence_lightning as silence_lightning
from smash_lightning.training.search_module import HyperNetModule as HyperNetModule
from smash_lightning.training.search_module import SearchOptions as SearchOptions
from smash_lightning.training.standalone_module import RetrainModule as RetrainModule
from smash_lightning.training.standalone_module import RetrainOptions as RetrainOptions
from smash_lightning.training.standalone_module import classification_metrics as classification_metrics
from smash_lightning.training.standalone_module import load_classifier as load_classifier
from smash_lightning.training.standalone_module import log_probabilities as log_probabilities
from smash_lightning.training.standalone_module import networks_side_by_side as networks_side_by_side
