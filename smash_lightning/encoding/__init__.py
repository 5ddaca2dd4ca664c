"""How is an architecture written as a tensor?"""

from smash_lightning.encoding.encoder import Encoding as Encoding
from smash_lightning.encoding.encoder import Span as Span
