"""How is work divided? Independent jobs over processes, and one job over the ranks of a distributed training."""

from smash_lightning.engine.base import Engine, Pool
from smash_lightning.engine.local import Local
from smash_lightning.engine.stop_requests import (
    Stopped,
    handling_stop_signals,
    install_signal_handlers,
    requeued,
    stop_requested,
)
from smash_lightning.engine.work import RANK_OPTIONS, Cause, Failure, MachineError, Send, call, computation
