"""How good are the networks that were found, next to published ones? The paper's tables 1 to 3, from finished runs.

tables.csv: a row per network. `source` is the paper or the options of the run, `images` the data set. Errors are in %:
`error` with its 95 % interval (Student; of task=evaluate Wilson) and standard deviation over the `n` runs, folds, seeds
or architectures that `over` names; `found_minus` is the error of the best by score minus this one, paired over runs or
seeds.
tables.md and report.html: the same for readers, a table for each data set of the runs.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from smash_lightning.architecture import cost
from smash_lightning.evaluation.intervals import mean_interval
from smash_lightning.evaluation.sample import REPRESENTATIVE, finished_trainings
from smash_lightning.evaluation.sweep import SweepJob, read_job
from smash_lightning.evaluation.tables import read_ranking, read_retrained
from smash_lightning.files import read_object, write_text
from smash_lightning.report.labels import count, interval_text
from smash_lightning.report.page import columns, render
from smash_lightning.report.tracker import Tracker
from smash_lightning.run_folder import RunFolder, image_spec_of, job_folders
from smash_lightning.stages.experiment import Experiment

TITLES = {"cifar10": "Table 1: CIFAR-10", "cifar100": "Table 1: CIFAR-100", "stl10": "Table 2: STL-10"}
TITLES |= {"imagenet32": "Table 3: ImageNet32x32"}
BEST, EVALUATION = "best by SMASH score", "evaluation.json"
UNITS = ("seed", "dataset.fold")  # options over which is averaged
# Options that change neither what is trained nor how, or that a column of its own shows.
NOT_SHOWN = {"dataset", "task", "logger", "trainer", "engine", "workers", "data_folder", "cache_folder", "checkpoint"}
NOT_SHOWN |= {"resume", "trust", "retrain.presets", "retrain.architectures", *UNITS}
MEASURES, SIZES = ["true_error", "true_error_top5", "seconds"], ["params", "macs"]


def tables(experiment: Experiment, tracker: Tracker, runs: Sequence[str], stand_ins: Mapping[str, str]) -> None:
    """Writes the tables of finished runs, sweeps and runs of task=evaluate into the folder of `experiment`.

    A data set whose name is in `stand_ins` is shown in the table of the paper's data set that it is used in place of.
    Raises ValueError where a folder holds neither trainings nor an evaluation.
    """
    folder, groups = experiment.folder.path, dict[tuple[str, ...], list[SweepJob]]()
    for path in (path for run in runs for path in job_folders(Path(run)) or [Path(run)]):
        job = read_job(path)
        evaluated = [str(path)] if (path / EVALUATION).exists() else []  # each is a row
        options = [f"{name}={value}" for name, value in job.options.items() if name not in UNITS]
        groups.setdefault((_data(path), *evaluated, *options), []).append(job)
    if not groups:
        raise ValueError("task.runs is empty: give it folders of finished runs")
    published = pd.read_csv(Path(__file__).with_name("published.csv"), comment="#").assign(images=lambda t: t["data"])
    rows = pd.DataFrame([row for (data, *_), jobs in groups.items() for row in _rows(data, jobs)])
    rows.insert(0, "data", rows["images"].replace(dict(stand_ins)))
    table = pd.concat([published[published["data"].isin(rows["data"])], rows], ignore_index=True)
    table = table.astype(dict.fromkeys((*SIZES, "n"), "Int64"))
    shown = {TITLES.get(str(name), str(name)): _readable(part) for name, part in table.groupby("data", sort=False)}
    table.to_csv(folder / "tables.csv", index=False)
    write_text(folder / "tables.md", "\n".join(_markdown(title, part) for title, part in shown.items()))
    write_text(folder / "report.html", render("tables.html.jinja", "Found and published networks", {}, tables=shown))
    print("\n".join(f"{title}\n{part.drop(columns='source').to_string(index=False)}" for title, part in shown.items()))


def _data(folder: Path) -> str:
    """Name of the test images of a run; raises ValueError where the folder holds no result."""
    for source in RunFolder(folder).sources():
        if (source.path / EVALUATION).exists():
            return str(read_object(source.path / EVALUATION)["data"])
        if source.retrained.exists():
            return str(source.read_data().get("name", "not recorded"))
    raise ValueError(f"task.runs: {folder} holds no retrained.csv of a run and no evaluation.json of task=evaluate")


def _rows(data: str, jobs: Sequence[SweepJob]) -> Iterator[dict[str, Any]]:
    """The rows of runs on `data` that differ in seed or fold alone."""
    options, folder = jobs[0].options, jobs[0].folder
    shown = [f"{name}={value}" for name, value in options.items() if not NOT_SHOWN & {name, name.split(".")[0]}]
    row = {"source": " ".join(shown) or "default options", "images": data}
    if (folder / EVALUATION).exists():
        found = read_object(folder / EVALUATION)
        name = f"{BEST}, ensemble of {found['networks']}" if found["networks"] > 1 else BEST
        top = found.get("true_error_top5", {}).get("value")
        yield row | {"network": name, **_ends("error", found["true_error"]), "error_top5": top, "n": found["images"]}
        return
    trained = pd.concat([_trainings(job).assign(run=number) for number, job in enumerate(jobs)], ignore_index=True)
    several, unit = len(jobs) > 1, "run" if len(jobs) > 1 else "seed"
    best = trained[trained["network"] == BEST].groupby(unit)["true_error"].mean()
    for network, part in trained.groupby("network", sort=False):
        one = several or part["fingerprint"].nunique() == 1
        means = part.groupby(unit if one else "fingerprint")[[*MEASURES, *SIZES]].mean()
        over = ("fold" if several and "dataset.fold" in options else unit) if one else "architecture"
        sizes = {size: round(means[size].mean()) for size in SIZES}
        errors, by_unit = means["true_error"], part.groupby(unit)["true_error"].mean()
        minus = (best - by_unit).dropna() if network != BEST else best[:0]
        more = {"error_sd": errors.std(), "error_top5": means["true_error_top5"].mean(), "n": len(means), "over": over}
        more |= {"seconds": means["seconds"].mean()}
        more |= _ends("found_minus", mean_interval(minus)) if len(minus) else {}
        yield row | {"network": network, **sizes, **_ends("error", mean_interval(errors)), **more}


def _ends(name: str, interval: Mapping[str, float]) -> dict[str, float]:
    return {name: interval["value"], f"{name}_low": interval["low"], f"{name}_high": interval["high"]}


def _trainings(job: SweepJob) -> pd.DataFrame:
    """A row per training and `network` that it is of, with sizes: the found ones, random candidates, presets."""
    run = next(source for source in RunFolder(job.folder).sources() if source.retrained.exists())
    trained, ranking = finished_trainings(read_retrained(run)), read_ranking(run)
    architectures, spec = run.read_architectures(), image_spec_of(run.read_data())
    sizes = {name: cost(architectures[name], spec) for name in trained["fingerprint"].unique()}
    trained = trained.assign(
        **{size: [getattr(sizes[name], size) for name in trained["fingerprint"]] for size in SIZES}
    )
    ranked = ranking[ranking["fingerprint"].isin(trained["fingerprint"])].set_index("fingerprint")
    first = {by: ranked[by].dropna().nsmallest(1).index for by in ("smash_score", "predicted_loss")}
    chosen = {
        BEST: trained["fingerprint"].isin(first["smash_score"]),
        "best by calibrated prediction": trained["fingerprint"].isin(first["predicted_loss"]),
        "shortlist, mean": trained["shortlist"] == 1,
        "random candidates, mean": trained[REPRESENTATIVE].any(axis=1),
    }
    chosen |= {name: trained["fingerprint"] == each for each, name in run.read_names().items()}
    return pd.concat([trained[rows].assign(network=name) for name, rows in chosen.items()])


def _readable(table: pd.DataFrame) -> pd.DataFrame:
    """The columns that readers compare; those without a value are left out."""

    def intervals(name: str) -> list[str | None]:
        ends = table.reindex(columns=[name, f"{name}_low", f"{name}_high"]).astype(float).to_numpy()
        return [None if math.isnan(value) else interval_text(value, low, high) for value, low, high in ends]

    over = zip(table["n"], table["over"].fillna("image"), strict=True)
    stand_in = "stand-in: " + table["images"]
    shown = table[["network", "images", *SIZES]].set_axis(["network", "images", "parameters", "MACs"], axis=1)
    shown["images"] = table["images"].where(table["images"] == table["data"], stand_in)
    shown["test error, % [95 %]"] = intervals("error")
    for heading, name in (("SD", "error_sd"), ("top-5 error, %", "error_top5")):
        shown[heading] = table[name].map("{:.2f}".format, na_action="ignore")
    shown["over"] = [None if pd.isna(number) else count(number, unit) for number, unit in over]
    shown["best by score minus it [95 %]"], shown["seconds per training"] = intervals("found_minus"), table["seconds"]
    return shown.assign(source=table["source"]).dropna(axis=1, how="all")


def _markdown(title: str, table: pd.DataFrame) -> str:
    names, _, cells = zip(*columns(table), strict=True)
    lines = [names, ["---"] * len(names), *zip(*cells, strict=True)]
    return "\n".join([f"## {title}", "", *(f"| {' | '.join(line)} |" for line in lines), ""])
