"""Data sets: decoded once into bytes, split, augmented and loaded in batches."""

from smash_lightning.data.augmentation import Augmentation, CropFlip, VoxelMoves
from smash_lightning.data.cifar import CIFAR10, CIFAR100
from smash_lightning.data.datamodule import DataModule
from smash_lightning.data.digits import Digits
from smash_lightning.data.folder import Folder
from smash_lightning.data.imagenet32 import ImageNet32
from smash_lightning.data.loader import TensorLoader
from smash_lightning.data.modelnet10 import ModelNet10
from smash_lightning.data.rand_augment import RandAugment
from smash_lightning.data.source import Download, RawDataset, Source, Split, Subset
from smash_lightning.data.stl10 import STL10
from smash_lightning.data.tables import Hub, Parquet
