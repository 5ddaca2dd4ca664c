"""Packages that loggers need, and the logger of MLflow; the others are of Lightning, of Aim, and in `wandb_run`."""

import logging
import os
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

from lightning.pytorch.loggers import MLFlowLogger

PACKAGES = {  # that are no dependencies, by the name of the logger, which is that of an extra of this package
    "aim": ("aim",),
    "comet": ("comet_ml",),
    "mlflow": ("mlflow", "sqlalchemy", "alembic"),
    "tensorboard": ("tensorboard",),
}


def require_packages(names: Iterable[str]) -> None:
    """Checks that the packages of the loggers are installed.

    Raises:
        ValueError: one is missing.
    """
    for name in names:
        if missing := [package for package in PACKAGES.get(name, ()) if find_spec(package) is None]:
            remedy = f"install it with pip install 'smash-lightning[{name}]'"
            raise ValueError(f"logger={name} needs the package {missing[0]}: {remedy}")


def mlflow_logger(folder: str, experiment: str, name: str | None = None, uri: str | None = None) -> MLFlowLogger:
    """Writes to the tracking server `uri`, or to a data base in the run's folder; see conf/logger/mlflow.yaml."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")  # a data base prints a line for each of its tables
    logging.getLogger("lightning.pytorch.loggers.mlflow").setLevel(logging.ERROR)  # that an experiment is a new one
    place = None
    if uri is None:
        home = Path(folder).resolve() / "mlflow"
        home.mkdir(parents=True, exist_ok=True)
        uri, place = f"sqlite:///{home / 'runs.db'}", (home / "artifacts").as_uri()
    return MLFlowLogger(experiment, run_name=name, tracking_uri=uri, artifact_location=place)
