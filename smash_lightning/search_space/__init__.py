"""Which architectures may exist? Search spaces to sample, and presets of published networks."""

from smash_lightning.search_space.base import SearchSpace
from smash_lightning.search_space.by_size import SizeBalanced, SizeMatched
from smash_lightning.search_space.memory_bank import MemoryBankSpace
from smash_lightning.search_space.smashv1 import SingleConvolution
from smash_lightning.search_space.smashv2 import ParallelConvolutions
