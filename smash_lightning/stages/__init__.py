"""What can be run? Each stage turns files of a run folder into files of a run folder."""

from smash_lightning.run_folder import RunFolder
from smash_lightning.stages.baselines import baselines
from smash_lightning.stages.calibrate import calibrate
from smash_lightning.stages.correlate import correlate
from smash_lightning.stages.experiment import EvaluationOptions, Experiment
from smash_lightning.stages.export import export
from smash_lightning.stages.pipeline import pipeline
from smash_lightning.stages.predict import evaluate, predict
from smash_lightning.stages.rank import rank
from smash_lightning.stages.retrain import retrain
from smash_lightning.stages.search import search
