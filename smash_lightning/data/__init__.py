"""Data sets: read once into bytes, split, augmented and given out in batches."""

from smash_lightning.data.augmentation import Augmentation as Augmentation
from smash_lightning.data.augmentation import CropFlip as CropFlip
from smash_lightning.data.augmentation import VoxelMoves as VoxelMoves
from smash_lightning.data.cifar import CIFAR10 as CIFAR10
from smash_lightning.data.cifar import CIFAR100 as CIFAR100
from smash_lightning.data.datamodule import DataModule as DataModule
from smash_lightning.data.digits import Digits as Digits
from smash_lightning.data.folder import Folder as Folder
from smash_lightning.data.imagenet32 import ImageNet32 as ImageNet32
from smash_lightning.data.loader import TensorLoader as TensorLoader
from smash_lightning.data.modelnet10 import ModelNet10 as ModelNet10
from smash_lightning.data.source import Download as Download
from smash_lightning.data.source import RawDataset as RawDataset
from smash_lightning.data.source import Source as Source
from smash_lightning.data.source import Split as Split
from smash_lightning.data.source import Subset as Subset
from smash_lightning.data.stl10 import STL10 as STL10
from smash_lightning.data.tables import Hub as Hub
from smash_lightning.data.tables import Parquet as Parquet
