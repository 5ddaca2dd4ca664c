"""Which is best?"""

from smash_lightning.ranking.callback import RankingCallback as RankingCallback
from smash_lightning.ranking.callback import rank as rank
from smash_lightning.ranking.options import RankingOptions as RankingOptions
from smash_lightning.ranking.procedure import Candidate as Candidate
from smash_lightning.ranking.procedure import Ranking as Ranking
from smash_lightning.ranking.procedure import Row as Row
from smash_lightning.ranking.procedure import State as State
from smash_lightning.ranking.procedure import state_from_plain as state_from_plain
from smash_lightning.ranking.procedure import state_to_plain as state_to_plain
from smash_lightning.ranking.proposals import Entry as Entry
from smash_lightning.ranking.proposals import Markov as Markov
from smash_lightning.ranking.proposals import Perturb as Perturb
from smash_lightning.ranking.proposals import Proposal as Proposal
from smash_lightning.ranking.proposals import Random as Random
from smash_lightning.ranking.score import Score as Score
from smash_lightning.ranking.score import Scorer as Scorer
