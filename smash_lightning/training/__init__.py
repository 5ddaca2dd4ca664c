"""How do we fit?"""

from smash_lightning.training.checkpoint import WholeFiles as WholeFiles
from smash_lightning.training.checkpoint import load_checkpoint as load_checkpoint
from smash_lightning.training.fixed import DivergedError as DivergedError
from smash_lightning.training.fixed import FixedModule as FixedModule
from smash_lightning.training.fixed import RetrainOptions as RetrainOptions
from smash_lightning.training.quiet import quiet as quiet
from smash_lightning.training.relay import Metrics as Metrics
from smash_lightning.training.relay import Progress as Progress
from smash_lightning.training.relay import RelayLogger as RelayLogger
from smash_lightning.training.relay import RelayProgress as RelayProgress
from smash_lightning.training.search import HyperNetOptions as HyperNetOptions
from smash_lightning.training.search import Kind as Kind
from smash_lightning.training.search import SearchOptions as SearchOptions
from smash_lightning.training.search import SmashModule as SmashModule
from smash_lightning.training.search import load_hypernet as load_hypernet
from smash_lightning.training.stopping import SaveWhenAsked as SaveWhenAsked
