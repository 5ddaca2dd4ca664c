"""The last stage: how well do score and true error agree? Figures, pictures and one page that holds them all."""

from __future__ import annotations

from smash_lightning.report.diagram import architecture_svg
from smash_lightning.report.tracker import Tracker
from smash_lightning.study.correlation import correlate as compare
from smash_lightning.study.picture import picture
from smash_lightning.study.records import Retrained, read_records
from smash_lightning.study.summary import summary
from smash_lightning.tasks.experiment import Experiment
from smash_lightning.tasks.rank import ranked


def correlate(experiment: Experiment, tracker: Tracker) -> float | None:
    """Compares scores with truths.

    Returns:
        Spearman's coefficient of score and mean test loss; None where it is undefined.

    Raises:
        ValueError: nothing was ranked or retrained.
    """
    source, folder = experiment.source_folder(), experiment.folder
    scored, retrained = ranked(source), read_records(source.retrained, Retrained)
    correlation = compare(scored, retrained, bootstrap=experiment.study.bootstrap, seed=experiment.seed)
    (folder.path / "correlation.json").write_text(correlation.to_json() + "\n")
    picture(scored, retrained, correlation).savefig(folder.path / "correlation.png", dpi=150)
    best = source.read_architectures()[scored[0].fingerprint]
    drawing = architecture_svg(best, experiment.data.skeleton, f"best of {len(scored)} by score")
    (folder.path / "architecture.svg").write_text(drawing)
    print(summary(correlation))
    rho = correlation.loss.scores["val_loss"].spearman
    return None if rho is None else rho.value
