from smash_lightning.tasks.investigation.averaging import averaging as averaging
from smash_lightning.tasks.investigation.corruption import corruption as corruption
from smash_lightning.tasks.investigation.gradient import gradient as gradient
from smash_lightning.tasks.investigation.racing import racing as racing
from smash_lightning.tasks.investigation.settling import settling as settling
from smash_lightning.tasks.investigation.strategies import strategies as strategies
from smash_lightning.tasks.investigation.variants import Variant as Variant
from smash_lightning.tasks.investigation.variants import variants as variants
