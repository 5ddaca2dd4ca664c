"""Which architectures may exist? Spaces to draw from, and presets of well-known networks."""

from smash_lightning.search_space.base import SearchSpace as SearchSpace
from smash_lightning.search_space.equal_size import EqualSize as EqualSize
from smash_lightning.search_space.memory_bank import MemoryBankSpace as MemoryBankSpace
from smash_lightning.search_space.size_balanced import SizeBalanced as SizeBalanced
from smash_lightning.search_space.smashv1 import SingleConvolution as SingleConvolution
from smash_lightning.search_space.smashv2 import ParallelConvolutions as ParallelConvolutions
