"""What is an architecture? Values without torch."""

from smash_lightning.architecture.definition import Architecture as Architecture
from smash_lightning.architecture.definition import Block as Block
from smash_lightning.architecture.definition import Convolution as Convolution
from smash_lightning.architecture.definition import Op as Op
from smash_lightning.architecture.definition import load_architecture as load_architecture
from smash_lightning.architecture.description import describe as describe
from smash_lightning.architecture.description import longest_path as longest_path
from smash_lightning.architecture.layers import Cost as Cost
from smash_lightning.architecture.layers import ImageSpec as ImageSpec
from smash_lightning.architecture.layers import Layer as Layer
from smash_lightning.architecture.layers import Layers as Layers
from smash_lightning.architecture.layers import cost as cost
from smash_lightning.architecture.layers import layers as layers
from smash_lightning.architecture.limits import Limits as Limits
