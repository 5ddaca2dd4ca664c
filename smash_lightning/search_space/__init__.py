"""Which architectures may exist? Search spaces to sample, and presets of published networks."""

from smash_lightning.search_space.base import SearchSpace as SearchSpace
from smash_lightning.search_space.by_size import SizeBalanced as SizeBalanced
from smash_lightning.search_space.by_size import SizeMatched as SizeMatched
from smash_lightning.search_space.memory_bank import MemoryBankSpace as MemoryBankSpace
from smash_lightning.search_space.smashv1 import SingleConvolution as SingleConvolution
from smash_lightning.search_space.smashv2 import ParallelConvolutions as ParallelConvolutions
