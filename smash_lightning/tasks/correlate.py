"""The last stage: how well do score and true error agree?"""

from __future__ import annotations

from smash_lightning.report.tracker import Tracker
from smash_lightning.study.correlation import correlate as compare
from smash_lightning.study.summary import summary
from smash_lightning.tasks.experiment import Experiment
from smash_lightning.tasks.rank import ranked
from smash_lightning.tasks.retrain import trained
from smash_lightning.tasks.show import show


def correlate(experiment: Experiment, tracker: Tracker) -> float | None:
    """Compares scores with truths, writes `correlation.json`, the pictures and the page, and prints a summary.

    Returns:
        Spearman's coefficient of score and mean test loss; None where it is undefined.

    Raises:
        ValueError: nothing was ranked or retrained.
    """
    source, folder = experiment.source_folder(), experiment.folder
    scored, retrained = ranked(source), trained(source)
    correlation = compare(scored, retrained, bootstrap=experiment.study.bootstrap, seed=experiment.seed)
    (folder.path / "correlation.json").write_text(correlation.to_json() + "\n")
    show(experiment, tracker, scored, retrained, correlation)
    print(summary(correlation))
    rho = correlation.loss.scores["val_loss"].spearman
    return None if rho is None else rho.value
