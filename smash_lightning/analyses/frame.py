"""What the analyses share: a run to start from, parallel jobs, estimates with intervals, and the files of a result.

An analysis reads an earlier run, varies something, and writes three files into its own run folder: NAME.csv (what was
measured), NAME.json (what follows from it, with intervals) and NAME.png. The head of each analysis describes its files.
"""

import json
import math
import textwrap
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Annotated, Any, TypeVar

import numpy as np
import pandas as pd
from pydantic import Field

from smash_lightning.architecture import Architecture
from smash_lightning.encoding import Encoding
from smash_lightning.engine import Engine, call
from smash_lightning.evaluation.bootstrap import MINIMUM, Bootstrap, Estimate
from smash_lightning.evaluation.coefficients import Floats
from smash_lightning.evaluation.intervals import mean_interval
from smash_lightning.evaluation.sample import join, numbered
from smash_lightning.evaluation.tables import read_ranking, read_retrained
from smash_lightning.files import atomic_write, write_text
from smash_lightning.hypernet import ConditionalWeightSource
from smash_lightning.progress_bars import ProgressBars
from smash_lightning.random_streams import Stream, rng
from smash_lightning.report.figures import forest, lines
from smash_lightning.report.style import Chart, save, specification
from smash_lightning.scoring import Score, Scorer
from smash_lightning.stages.experiment import Experiment
from smash_lightning.stages.rank import scorer_of

LINE = 110  # characters of a printed line
BARS = "95 % bootstrap intervals over architectures"
SIDES = {1: "significantly above zero", 0: "not significantly different from zero", -1: "significantly below zero"}

AtLeastFive = Annotated[int, Field(ge=MINIMUM)]  # architectures: fewer estimate nothing
Job = TypeVar("Job")
Result = TypeVar("Result")
Panels = Mapping[str, Mapping[Any, Estimate | None]]  # by what is estimated, and of what


@dataclass(frozen=True, slots=True, eq=False)
class TrainedSample:
    """The representative architectures of a run (groups stratified and random); row i of everything is one of them."""

    architectures: tuple[Architecture, ...]  # the architectures, (n,)
    test_loss: Floats  # mean test loss after standalone training, nats, (n,)
    trainings: Floats  # test loss of each training, (n, seeds); NaN where it failed
    by_hypernet: Floats  # validation loss with each HyperNet of the ranking, nats, (n, HyperNets)
    params: Floats  # parameters of the standalone network, (n,)

    def by_name(self) -> dict[str, float]:
        """The mean test loss by fingerprint."""
        return {one.fingerprint: float(loss) for one, loss in zip(self.architectures, self.test_loss, strict=True)}


def load_trained(experiment: Experiment, least: int = MINIMUM) -> TrainedSample:
    """The representative architectures that the earlier run ranked and trained.

    Raises:
        ValueError: nothing was ranked or retrained, or fewer than `least` representative architectures were.
    """
    source = experiment.source_folder()
    rows, architectures = join(read_ranking(source), read_retrained(source)).representative, source.read_architectures()
    if len(rows) < least:
        raise ValueError(
            f"{source.path} has test losses of {len(rows)} representative architectures, fewer than {least}, which "
            "estimate nothing: name a run with more (retrain.stratified) with checkpoint=FOLDER"
        )
    return TrainedSample(
        tuple(architectures[name] for name in rows["fingerprint"]),
        rows["true_loss"].to_numpy(),
        numbered(rows, "true_loss"),
        numbered(rows, "val_loss"),
        rows["params"].to_numpy(),
    )


def random_candidates(experiment: Experiment, most: AtLeastFive, preferred: Container[str] = ()) -> list[Architecture]:
    """At most `most` of the earlier ranking's architectures that were drawn at random, fingerprints `preferred` first.

    Raises:
        ValueError: there is no ranking, or it holds fewer than five.
    """
    source = experiment.source_folder()
    ranking = read_ranking(source)
    names = sorted(ranking["fingerprint"][(ranking["strategy"] == "random") & np.isfinite(ranking["val_loss"])])
    if len(names) < MINIMUM:
        raise ValueError(
            f"the ranking in {source.path} holds {len(names)} random architectures with a score, fewer than {MINIMUM}, "
            "which estimate nothing: name a run with more (ranking.strategies.random.count) with checkpoint=FOLDER"
        )
    rng(Stream.ANALYSIS, experiment.seed).shuffle(names)
    names.sort(key=lambda name: name not in preferred)
    architectures = source.read_architectures()
    return [architectures[name] for name in names[:most]]


def conditional_scorer(experiment: Experiment, task: str) -> tuple[Scorer, Encoding, frozenset[str]]:
    """A scorer with the earlier run's HyperNets, their encoding, and the fingerprints that their training drew.

    Raises:
        ValueError: there is no HyperNet, or its input is not c.
    """
    scorer, drawn = scorer_of(experiment)
    for source in (hypernet.weights for hypernet in scorer.hypernets):
        if not isinstance(source, ConditionalWeightSource):
            raise ValueError(
                f"task={task} needs HyperNets whose input is c, unlike those of {experiment.source_folder().path} "
                f"({type(source).__name__}): name a run with hypernet=conditional or residual with checkpoint=FOLDER"
            )
        encoding = source.encoding
    return scorer, encoding, drawn


def run_jobs(
    function: Callable[[Job], Result], jobs: Sequence[Job], engine: Engine, label: str, name: Callable[[Job], str]
) -> list[Result]:
    """Results of a function in the order of the jobs, with a progress bar.

    The function can be pickled, as each worker process gets it once; `label` and the `name` of a job describe errors.

    Raises:
        RuntimeError: a job failed.
    """
    found: dict[int, Result] = {}
    with ProgressBars([label], [len(jobs)]) as bars, engine.pool(call, function) as pool:
        for done, (position, result) in enumerate(pool.results(jobs, lambda i: f"{label} {name(jobs[i])}"), start=1):
            found[position] = result
            bars.show(0, done)
    return [found[position] for position in range(len(jobs))]


def score_columns(score: Score) -> dict[str, float]:
    """A score as columns of a table: validation loss (nats; mean and with each HyperNet) and error (%)."""
    single = {f"val_loss_{index}": loss for index, loss in enumerate(score.val_losses)}
    return {"val_loss": score.val_loss, "val_error": score.val_error, **single}


def mean(column: Floats, weights: Floats) -> Floats:
    """The mean of a column (n,) in each resample, (r,), as in `evaluation.coefficients`."""
    return weights @ column / weights.sum(-1)


def estimate(
    bootstrap: Bootstrap, statistic: Callable[[Floats, Floats], Floats], column: Floats, base: Floats | None = None
) -> Estimate | None:
    """The statistic of a column, or its paired difference to that of `base`: both from the same resamples."""
    if base is None:
        return bootstrap.estimate(partial(statistic, column))
    return bootstrap.estimate(lambda weights: statistic(column, weights) - statistic(base, weights))


def t_interval(values: Floats) -> Estimate:
    """The mean of two independent values or more with Student's interval."""
    return Estimate(**mean_interval(values), resamples=len(values))


def text(one: Estimate | None) -> str:
    """An estimate with its interval, as in '0.57 [0.35, 0.74]'; 'undefined' for None."""
    return "undefined" if one is None else format(one, ".3g")


def panels(found: Mapping[Any, Mapping[str, Any]], labels: Mapping[str, str]) -> Panels:
    """A panel for each label, with the estimate of that name for each case; some cases may lack it."""
    return {label: {case: one[name] for case, one in found.items() if name in one} for name, label in labels.items()}


@dataclass(frozen=True, slots=True)
class Picture:
    """The texts of a picture: with `y` lines over numbers, else a row for each name and panels next to each other."""

    title: str
    note: str  # sample and kind of the intervals
    x: str
    y: str | None = None
    log_x: bool = False

    def draw(self, panels: Panels) -> Chart:
        """The chart of these estimates: lines leave out what is undefined."""
        parts = [(panel, name, one) for panel, estimates in panels.items() for name, one in estimates.items()]
        if self.y is None:
            undefined = Estimate(math.nan, math.nan, math.nan, 0)
            rows = [{"panel": panel, "name": name} | asdict(one or undefined) for panel, name, one in parts]
            return forest(pd.DataFrame(rows), x=self.x, title=self.title, note=self.note)
        points = [(series, x, one.value, one.low, one.high) for series, x, one in parts if one is not None]
        frame = pd.DataFrame(points, columns=["series", "x", "y", "low", "high"])
        return lines(frame, x=self.x, y=self.y, log_x=self.log_x, title=self.title, note=self.note)


def publish(
    experiment: Experiment,
    name: str,
    table: pd.DataFrame,
    results: Mapping[str, Any],
    panels: Panels,
    picture: Picture,
    answers: Sequence[tuple[str, Estimate | None]] = (),
    printed: Panels | None = None,
) -> float | None:
    """Writes NAME.csv, NAME.json and NAME.png into the run folder, and prints the estimates.

    Returns:
        The last of `answers`, differences or coefficients that are printed with their position relative to zero.
    """
    path = experiment.folder.path / name
    with atomic_write(path.with_suffix(".csv")) as partial_file:
        table.to_csv(partial_file, index=False, lineterminator="\n")
    write_text(path.with_suffix(".json"), json.dumps(results, indent=2, default=asdict, allow_nan=False) + "\n")
    save(specification(picture.draw(panels)), path.with_suffix(".png"))
    print(textwrap.fill(f"{picture.title}: {picture.note}.", LINE))
    print(listing(printed or panels))
    for what, one in answers:
        print(textwrap.fill(f"{what}: {text(one)}" + (f", {SIDES[one.sign]}." if one else "."), LINE))
    return answers[-1][1].value if answers and answers[-1][1] else None


def listing(panels: Panels) -> str:
    """A table of estimates for a terminal: a column for each panel."""
    names = list(dict.fromkeys(name for estimates in panels.values() for name in estimates))
    cells = {panel: [text(one[name]) if name in one else "" for name in names] for panel, one in panels.items()}
    return pd.DataFrame({"": names} | cells).to_string(index=False)
