"""What do we learn from?"""

from smash_lightning.dataset.augmentation import Augmentation as Augmentation
from smash_lightning.dataset.augmentation import CropFlip as CropFlip
from smash_lightning.dataset.augmentation import VoxelMoves as VoxelMoves
from smash_lightning.dataset.cifar import CIFAR10 as CIFAR10
from smash_lightning.dataset.cifar import CIFAR100 as CIFAR100
from smash_lightning.dataset.datamodule import DataModule as DataModule
from smash_lightning.dataset.datamodule import Normalised as Normalised
from smash_lightning.dataset.digits import Digits as Digits
from smash_lightning.dataset.folder import Folder as Folder
from smash_lightning.dataset.imagenet32 import ImageNet32 as ImageNet32
from smash_lightning.dataset.loader import TensorLoader as TensorLoader
from smash_lightning.dataset.modelnet10 import ModelNet10 as ModelNet10
from smash_lightning.dataset.parquet import Parquet as Parquet
from smash_lightning.dataset.part import Subset as Subset
from smash_lightning.dataset.source import Download as Download
from smash_lightning.dataset.source import RawDataset as RawDataset
from smash_lightning.dataset.source import Source as Source
from smash_lightning.dataset.source import Split as Split
from smash_lightning.dataset.stl10 import STL10 as STL10
