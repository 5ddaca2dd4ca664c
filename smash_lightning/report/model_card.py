"""The model card of an exported network, in the layout that the Hugging Face hub reads: a YAML header and Markdown."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from smash_lightning.architecture import cost
from smash_lightning.evaluation.intervals import mean_interval, share_interval
from smash_lightning.network import Classifier
from smash_lightning.report.labels import estimate_text
from smash_lightning.report.run_data import read_correlation
from smash_lightning.report.verdict import TEXTS
from smash_lightning.run_folder import RunFolder

ERRORS = {"true_error": "test error, %", "true_error_top5": "top-5 test error, %"}


def model_card(
    run: RunFolder, classifier: Classifier, trainings: pd.DataFrame, data: Mapping[str, Any], files: Mapping[str, float]
) -> str:
    """The card as Markdown.

    Args:
        run: that the network is of.
        classifier: the network.
        trainings: the rows of retrained.csv of its architecture, its own first.
        data: what data.json holds.
        files: largest difference of a logit from the network's, by the name of each exported file.
    """
    architecture, spec = classifier.network.architecture, classifier.network.image_spec
    name, rows = f"smash-{data['name']}-{architecture.fingerprint}", []
    for column, heading in ERRORS.items():
        if not (values := trainings[column].dropna()).empty:
            own, mean = share_interval(float(values.iloc[0]), data["test"]), mean_interval(values)
            mean |= {"low": max(mean["low"], 0), "high": min(mean["high"], 100)}
            rows.append((heading, estimate_text(own), estimate_text(mean)))
    losses = trainings["true_loss"]
    loss = f"{losses.iloc[0]:.4f}"
    rows.append(("test loss, nats", loss, estimate_text(mean_interval(losses), 4)))
    correlation = read_correlation(run) if run.correlation.exists() else {}
    return TEXTS.get_template("model_card.md.jinja").render(
        header=_header(name, data, trainings, spec.dimensions),
        name=name,
        data=data,
        shape=[spec.channels, *spec.size],
        rows=rows,
        seeds=len(trainings),
        cost=cost(architecture, spec),
        agreement=estimate_text(correlation["loss"]["scores"]["smash_score"]["spearman"]) if correlation else "",
        files=files,
    )


def _header(name: str, data: Mapping[str, Any], trainings: pd.DataFrame, dimensions: int) -> str:
    from huggingface_hub import EvalResult, ModelCardData  # here, as the import takes a second

    task = "image-classification" if dimensions == 2 else "voxel-classification"
    accuracy = round(100 - float(trainings["true_error"].iloc[0]), 4)
    result = EvalResult(task, data["name"], data["name"], "accuracy", accuracy, dataset_split="test")
    tags = [task, "neural-architecture-search", "smash"]
    known = task if dimensions == 2 else None  # of the kinds that the hub lists
    return str(
        ModelCardData(library_name="pytorch", pipeline_tag=known, tags=tags, model_name=name, eval_results=[result])
    )
