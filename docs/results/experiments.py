"""Runs every experiment of the paper at its smallest size: python docs/results/experiments.py DATA RUNS > FILE.json.

DATA has the data sets that `COMMANDS` names, stand-ins for those that were not at hand. RUNS gets a folder for each
command; what is finished there is not run again, and all of it is recorded. It takes a quarter of an hour of one core,
and fewer commands are run by their names after RUNS; docs/results/networks.md has the table.
"""

import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
from collect import markdown, record, this_commit

ROOT = Path(__file__).parents[2]
SMALL = "size=two_cores logger=none"
CIFAR10 = f"{SMALL} dataset=parquet dataset.root=DATA/cifar10 dataset.name=cifar10_jpeg"
SAMPLE = f"{SMALL} dataset=cifar10 dataset.root=DATA/cifar10_original_sample dataset.name=cifar10_sample"
SAMPLE += " dataset.train=500 dataset.validation=200"
PHOTOGRAPHS = f"{SMALL} dataset.root=DATA/imagenette96/stl10_layout_subset dataset.name=imagenette96"
FOLDS = f"{PHOTOGRAPHS} dataset.train=60 dataset.validation=20 dataset.batch_size=20 retrain.seeds=1"
FOLDS += " dataset.fold=0,1,2,3,4,5,6,7,8,9"
VOXELS = f"{SMALL} dataset.root=DATA/modelnet10/modelnet10_32.npz dataset.train=160 dataset.validation=80"
VOXELS += " dataset.average_views=false search_space.max_ops=1"
GIVEN = "retrain.architectures=[export/architecture.json]"
ANALYSIS = "checkpoint=figure4 logger=none"
COMMANDS = {
    "figure4": f"experiment=figure4 {SAMPLE}",
    "figure5a": f"experiment=figure5a {ANALYSIS}",
    "corruption": f"experiment=corruption {ANALYSIS}",
    "gradient": f"experiment=gradient {ANALYSIS}",
    "figure5b": f"experiment=figure5b {SAMPLE}",
    "averaging": "task=averaging checkpoint=figure5b logger=none",
    "table1_smashv1": f"experiment=table1_smashv1 {CIFAR10}",
    "table1_smashv2": f"experiment=table1_smashv2 {CIFAR10}",
    "export": "task=export checkpoint=table1_smashv2 task.formats=[torch] logger=none",
    "table3_smashv2": f"experiment=table3_smashv2 {SMALL} dataset.root=DATA/imagenet32/official_format_subset"
    " dataset.name=tiny_imagenet32",
    "modelnet10": f"experiment=modelnet10 {VOXELS} {GIVEN}",
    "transfer_stl10": f"experiment=transfer_stl10 {PHOTOGRAPHS} dataset.train=200 dataset.validation=100 {GIVEN}",
    "table2_smashv2": f"-m experiment=table2_smashv2 {FOLDS}",
    "table2_smashv2_3x3": f"-m experiment=table2_smashv2_3x3 {FOLDS}",
    "tables": "task=tables task.runs=[table1_smashv1,table1_smashv2,table2_smashv2,table2_smashv2_3x3,"
    "transfer_stl10,table3_smashv2,modelnet10] +task.stand_ins.cifar10_jpeg=cifar10"
    " +task.stand_ins.imagenette96=stl10 +task.stand_ins.tiny_imagenet32=imagenet32 logger=none",
}
NETWORKS = {"best by SMASH score": "found", "export/architecture.json": "given", "random candidates, mean": "random"}
# What the paper has for each experiment: test errors in %, or what its figure shows.
PUBLISHED = {
    "table1_smashv1": "5.53 on CIFAR-10",
    "table1_smashv2": "4.03 on CIFAR-10",
    "table2_smashv2": "41.52 ± 2.10",
    "table2_smashv2_3x3": "37.76 ± .58",
    "table3_smashv2": "38.62, top-5 16.33",
    "transfer_stl10": "17.54 given, 20.28 found (from memory)",
    "modelnet10": "6.72 given (from memory)",
    "figure4": "a correlation, without a coefficient",
    "figure5a": "no correlation with a HyperNet of low capacity",
    "figure5b": "a picture, without a coefficient",
    "averaging": "that of figure 5b",
    "corruption": "noise in c worsens scores, without a figure",
    "gradient": "not better than random changes (from memory)",
}


def run(name: str, data: Path, runs: Path) -> None:
    """Runs or continues a command unless it is finished, and keeps CPU seconds and commit in RUNS/NAME.json."""
    folder, log = runs / name, runs / f"{name}.json"
    before = json.loads(log.read_text()) if log.exists() else {"seconds": 0.0, "finished": False}
    if before["finished"]:
        return
    options = command(name).replace("DATA", str(data)).split()
    options += [f"resume={name}"] if (folder / "config.yaml").exists() else []
    start = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, str(ROOT / "run.py"), *options], stdout=sys.stderr, cwd=runs, check=False)
    end = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = before["seconds"] + end.ru_utime + end.ru_stime - start.ru_utime - start.ru_stime
    log.write_text(json.dumps({"seconds": seconds, "finished": done.returncode == 0, "commit": this_commit()}))
    done.check_returncode()


def command(name: str) -> str:
    """All options of a command that is run in RUNS."""
    return f"{COMMANDS[name]} hydra.{'sweep' if COMMANDS[name].startswith('-m') else 'run'}.dir={name}"


def obtained(name: str, runs: Path) -> dict[str, Any]:
    """The estimates of a finished experiment by their names, and `n` of what they are means or coefficients of."""

    def read(file: str) -> Any:
        return json.loads((runs / name / file).read_text())

    if name in ("figure4", "figure5b"):
        found = read("correlation.json")
        return {"Spearman": found["loss"]["scores"]["smash_score"]["spearman"], "n": found["architectures"]}
    if name == "figure5a":
        found = read("capacity.json")
        sizes = sorted(found["variants"].values(), key=lambda one: one["hypernet_params"])
        spearman = {f"Spearman with {one['hypernet_params']:,} parameters": one["spearman"] for one in sizes}
        return spearman | {"n": found["architectures"]}
    if name == "averaging":
        found = read("averaging.json")
        return {"Spearman of three minus one": found["gain"], "n": found["architectures"]}
    if name == "corruption":
        found = read("corruption.json")
        loss = {f"loss with {c} minus own c": found["inputs"][c]["delta_val_loss"] for c in ("noise 1", "noise 4")}
        return loss | {"n": found["architectures"]}
    if name == "gradient":
        found = read("gradient.json")
        minus = {f"loss by gradient minus {other}": one for other, one in list(found["gradient_minus"].items())[::3]}
        return minus | {"n": found["parents"]}
    table = pd.read_csv(runs / "tables" / "tables.csv")
    rows = table[table["source"].str.split().str[0] == f"experiment={name}"].set_index("network")
    figures: dict[str, Any] = {}
    for network, short in NETWORKS.items():
        if network in rows.index:
            row = rows.loc[network].to_dict()
            figures[short] = {"value": row["error"], "low": row["error_low"], "high": row["error_high"]}
            if name == "table3_smashv2":
                figures[f"{short}, top-5"] = {"value": row["error_top5"]}
    first = rows.loc[next(iter(NETWORKS))]
    return figures | {"n": int(first["n"]), "over": first["over"], "images": first["images"]}


def table(figures: dict[str, Any]) -> str:
    """The figures in Markdown, with what the paper has."""
    rows = []
    for name, row in figures.items():
        if name in PUBLISHED:
            estimates = "; ".join(f"{key} {text(value)}" for key, value in row.items() if isinstance(value, dict))
            n = f"{row['n']} {row.get('over', 'architecture')}s"
            rows.append([f"`{name}`", PUBLISHED[name], estimates, n, f"{row['seconds']:.0f}"])
    return markdown(["experiment", "published", "obtained with `size=two_cores`", "n", "CPU s"], rows)


def text(estimate: dict[str, float]) -> str:
    """A value with its interval where it has one."""
    digits = 3 if abs(estimate["value"]) < 0.1 else 2
    numbers = [f"{round(estimate[end], digits) + 0:.{digits}f}" for end in ("value", "low", "high") if end in estimate]
    return numbers[0] + (f" [{', '.join(numbers[1:])}]" if numbers[1:] else "")


if __name__ == "__main__":
    data, runs = (Path(argument).resolve() for argument in sys.argv[1:3])
    runs.mkdir(exist_ok=True)
    for name in sys.argv[3:] or COMMANDS:
        run(name, data, runs)
    logs = {name: json.loads(path.read_text()) for name in COMMANDS if (path := runs / f"{name}.json").exists()}
    done = {
        name: {"seconds": round(log["seconds"]), "commit": log["commit"]}
        for name, log in logs.items()
        if log["finished"]
    }
    made = {name: (obtained(name, runs) if name in PUBLISHED else {}) | log for name, log in done.items()}
    print(record([f"python run.py {command(name)}" for name in made], made))
