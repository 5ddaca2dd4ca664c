"""How is work shared out? Independent jobs to processes, and one job to several processes that do it together."""

from smash_lightning.parallel.place import Rank as Rank
from smash_lightning.parallel.place import cores as cores
from smash_lightning.parallel.place import here as here
from smash_lightning.parallel.place import rank as rank
from smash_lightning.parallel.place import settle as settle
from smash_lightning.parallel.pool import Failure as Failure
from smash_lightning.parallel.pool import Pool as Pool
from smash_lightning.parallel.pool import Send as Send
from smash_lightning.parallel.stopping import Stopped as Stopped
from smash_lightning.parallel.stopping import asked_to_stop as asked_to_stop
from smash_lightning.parallel.stopping import hear_again as hear_again
from smash_lightning.parallel.stopping import listening as listening
from smash_lightning.parallel.stopping import requeued as requeued
