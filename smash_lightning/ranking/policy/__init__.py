"""How is a prediction had from generated weights?"""

from smash_lightning.ranking.policy.base import Material as Material
from smash_lightning.ranking.policy.base import Policy as Policy
from smash_lightning.ranking.policy.base import Predictor as Predictor
from smash_lightning.ranking.policy.batch import Batch as Batch
from smash_lightning.ranking.policy.recalibrated import Recalibrated as Recalibrated
from smash_lightning.ranking.policy.running import Running as Running
from smash_lightning.ranking.policy.softened import Softened as Softened
from smash_lightning.ranking.policy.warm_start import WarmStart as WarmStart
