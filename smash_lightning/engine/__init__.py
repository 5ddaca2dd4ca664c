"""How is work divided? Independent jobs over processes, and one job over the ranks of a distributed training."""

from smash_lightning.engine.pool import Failure as Failure
from smash_lightning.engine.pool import Pool as Pool
from smash_lightning.engine.pool import Send as Send
from smash_lightning.engine.ranks import Rank as Rank
from smash_lightning.engine.ranks import cores as cores
from smash_lightning.engine.ranks import local_device as local_device
from smash_lightning.engine.ranks import rank as rank
from smash_lightning.engine.ranks import set_local_rank as set_local_rank
from smash_lightning.engine.stop_requests import Stopped as Stopped
from smash_lightning.engine.stop_requests import handling_stop_signals as handling_stop_signals
from smash_lightning.engine.stop_requests import install_signal_handlers as install_signal_handlers
from smash_lightning.engine.stop_requests import requeued as requeued
from smash_lightning.engine.stop_requests import stop_requested as stop_requested
