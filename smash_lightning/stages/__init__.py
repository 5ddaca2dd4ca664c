"""What can be run? Each stage turns files of a run folder into files of a run folder."""

from smash_lightning.run_folder import RunFolder as RunFolder
from smash_lightning.stages.baselines import baselines as baselines
from smash_lightning.stages.calibrate import calibrate as calibrate
from smash_lightning.stages.correlate import correlate as correlate
from smash_lightning.stages.experiment import EvaluationOptions as EvaluationOptions
from smash_lightning.stages.experiment import Experiment as Experiment
from smash_lightning.stages.export import export as export
from smash_lightning.stages.pipeline import pipeline as pipeline
from smash_lightning.stages.predict import evaluate as evaluate
from smash_lightning.stages.predict import predict as predict
from smash_lightning.stages.rank import rank as rank
from smash_lightning.stages.retrain import retrain as retrain
from smash_lightning.stages.search import search as search
