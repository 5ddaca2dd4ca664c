"""What can be asked for?"""

from smash_lightning.tasks.benchmark import benchmark as benchmark
from smash_lightning.tasks.correlate import correlate as correlate
from smash_lightning.tasks.datasets import datasets as datasets
from smash_lightning.tasks.draw import draw as draw
from smash_lightning.tasks.experiment import EvaluationOptions as EvaluationOptions
from smash_lightning.tasks.experiment import Experiment as Experiment
from smash_lightning.tasks.experiment import RunFolder as RunFolder
from smash_lightning.tasks.export import export as export
from smash_lightning.tasks.pipeline import pipeline as pipeline
from smash_lightning.tasks.rank import rank as rank
from smash_lightning.tasks.retrain import retrain as retrain
from smash_lightning.tasks.rivals import rivals as rivals
from smash_lightning.tasks.search import search as search
from smash_lightning.tasks.sweep_report import sweep_report as sweep_report
