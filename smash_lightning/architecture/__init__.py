"""What is an architecture? Values without torch."""

from smash_lightning.architecture.definition import Architecture, Block, Convolution, Op, load_architecture
from smash_lightning.architecture.description import describe, longest_path
from smash_lightning.architecture.layers import Cost, ImageSpec, Layer, Layers, cost, layers
from smash_lightning.architecture.limits import Limits
