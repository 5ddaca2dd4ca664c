"""How do we fit?"""

from smash_lightning.training.checkpoint import AtomicCheckpointIO as AtomicCheckpointIO
from smash_lightning.training.checkpoint import load_checkpoint as load_checkpoint
from smash_lightning.training.fixed import DivergedError as DivergedError
from smash_lightning.training.fixed import RetrainModule as RetrainModule
from smash_lightning.training.fixed import RetrainOptions as RetrainOptions
from smash_lightning.training.relay import Metrics as Metrics
from smash_lightning.training.relay import Progress as Progress
from smash_lightning.training.relay import QueueLogger as QueueLogger
from smash_lightning.training.relay import QueueProgress as QueueProgress
from smash_lightning.training.search import HyperNetModule as HyperNetModule
from smash_lightning.training.search import HyperNetOptions as HyperNetOptions
from smash_lightning.training.search import Kind as Kind
from smash_lightning.training.search import SearchOptions as SearchOptions
from smash_lightning.training.search import load_hypernet as load_hypernet
from smash_lightning.training.quiet import silence_lightning as silence_lightning
from smash_lightning.training.stopping import GracefulStop as GracefulStop
