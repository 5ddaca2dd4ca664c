"""What do we learn from?"""

from smash_lightning.dataset.datamodule import DataModule as DataModule
from smash_lightning.dataset.datamodule import Normalised as Normalised
from smash_lightning.dataset.digits import Digits as Digits
from smash_lightning.dataset.loader import TensorLoader as TensorLoader
from smash_lightning.dataset.source import Sets as Sets
from smash_lightning.dataset.source import Source as Source
from smash_lightning.dataset.source import Split as Split
