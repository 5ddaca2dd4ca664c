"""The logger of MLflow, whose packages are an extra; the others are Lightning's own classes and `wandb_run`."""

import logging
import os
from importlib.util import find_spec
from pathlib import Path

from lightning.pytorch.loggers import MLFlowLogger


def mlflow_logger(folder: str, experiment: str, name: str | None = None, uri: str | None = None) -> MLFlowLogger:
    """Writes to the tracking server `uri`, or to a data base in the run's folder; see conf/logger/mlflow.yaml.

    Raises:
        ValueError: a package is missing.
    """
    if missing := [package for package in ("mlflow", "sqlalchemy", "alembic") if find_spec(package) is None]:
        remedy = "install it with pip install 'smash-lightning[mlflow]'"
        raise ValueError(f"logger=mlflow needs the package {missing[0]}: {remedy}")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")  # a data base prints a line for each of its tables
    logging.getLogger("lightning.pytorch.loggers.mlflow").setLevel(logging.ERROR)  # that an experiment is a new one
    place = None
    if uri is None:
        home = Path(folder).resolve() / "mlflow"
        home.mkdir(parents=True, exist_ok=True)
        uri, place = f"sqlite:///{home / 'runs.db'}", (home / "artifacts").as_uri()
    return MLFlowLogger(experiment, run_name=name, tracking_uri=uri, artifact_location=place)
