"""How is work divided? Independent jobs over processes, and one job over the ranks of a distributed training."""

from smash_lightning.engine.base import Engine as Engine
from smash_lightning.engine.base import Pool as Pool
from smash_lightning.engine.local import Local as Local
from smash_lightning.engine.stop_requests import Stopped as Stopped
from smash_lightning.engine.stop_requests import handling_stop_signals as handling_stop_signals
from smash_lightning.engine.stop_requests import install_signal_handlers as install_signal_handlers
from smash_lightning.engine.stop_requests import requeued as requeued
from smash_lightning.engine.stop_requests import stop_requested as stop_requested
from smash_lightning.engine.work import RANK_OPTIONS as RANK_OPTIONS
from smash_lightning.engine.work import Cause as Cause
from smash_lightning.engine.work import Failure as Failure
from smash_lightning.engine.work import Send as Send
from smash_lightning.engine.work import cores as cores
