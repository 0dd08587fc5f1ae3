"""Runs in MLflow, in a local folder or on a server; it knows no training.

A local folder holds a database, ``mlflow.db``, and the models beside it.
"""

from __future__ import annotations

import os
import platform
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

try:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param
    from mlflow.exceptions import MlflowException
    from mlflow.models import Model
    from mlflow.models.model import MLMODEL_FILE_NAME
    from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID
except ImportError as error:
    from yanmo.errors import MissingExtraError

    raise MissingExtraError("The tracker mlflow", package="mlflow-skinny", extra="mlflow") from error

from yanmo.errors import ConfigError
from yanmo.integrations.sqlite import sqlite_url

__all__ = ["MlflowRun", "open_run"]

EXPERIMENT = "yanmo"
LOADER = "yanmo.exchanging.pyfunc"
"""The module that MLflow asks to open a model."""
# Older servers refuse a longer value of a parameter, and with it all that is sent together.
MOST_CHARACTERS = 500
PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3", "MLFLOW_HTTP_REQUEST_TIMEOUT": "20"}
"""Where the user has not said otherwise: MLflow's own four minutes of retries would hold up the training."""


class MlflowRun:
    """A run of the experiment ``yanmo``.

    Attributes:
        run_id: MLflow's own.
    """

    def __init__(self, client: MlflowClient, experiment_id: str, run_id: str, name: str) -> None:
        self._client = client
        self._experiment_id = experiment_id
        self._name = name
        self.run_id = run_id

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Add points to curves."""
        now = int(1000 * time.time())
        self._client.log_batch(self.run_id, metrics=[Metric(name, value, now, step) for name, value in values.items()])

    def finish(self, parameters: Mapping[str, Any], scores: Mapping[str, float], bundle: Path | None) -> None:
        """Note parameters and scores, store the Bundle as a logged model, if there is one, and end the run."""
        now = int(1000 * time.time())
        plain = {name: str(value)[:MOST_CHARACTERS] for name, value in parameters.items() if value is not None}
        self._client.log_batch(
            self.run_id,
            metrics=[Metric(name, value, now, 0) for name, value in scores.items()],
            params=[Param(name, value) for name, value in plain.items()],
        )
        if bundle is not None:
            model = self._client.create_logged_model(
                self._experiment_id, name=self._name, source_run_id=self.run_id, params=plain, model_type="yanmo"
            )
            self._client.log_model_artifacts(model.model_id, str(bundle))
            self._describe(model.model_id)
            self._client.finalize_logged_model(model.model_id, "READY")
        self._client.set_terminated(self.run_id)

    def _describe(self, model_id: str) -> None:
        """Write the file by which MLflow opens and asks the model."""
        described = Model(run_id=self.run_id, model_id=model_id)
        described.add_flavor("python_function", loader_module=LOADER, python_version=platform.python_version())
        with tempfile.TemporaryDirectory(prefix="yanmo-") as folder:
            described.save(str(Path(folder) / MLMODEL_FILE_NAME))
            self._client.log_model_artifact(model_id, str(Path(folder) / MLMODEL_FILE_NAME))

    def fail(self) -> None:
        """End the run as one that has failed."""
        self._client.set_terminated(self.run_id, status="FAILED")


def open_run(place: str, name: str, *, run_id: str | None, parent: str | None) -> MlflowRun:
    """Return a new run, or the one of that id.

    Args:
        place: A folder, or the URL of a server.
        name: Of the run.
        run_id: Of a run that was cut off.
        parent: The id of the run that this one is a part of, and is nested under.

    Raises:
        ConfigError: The server does not answer, or the folder cannot be used.
    """
    for variable, value in PATIENCE.items():
        os.environ.setdefault(variable, value)
    try:
        client, experiment_id = _open_experiment(place)
        tags = {MLFLOW_PARENT_RUN_ID: parent} if parent else {}
        run_id = run_id or client.create_run(experiment_id, run_name=name, tags=tags).info.run_id
    except (MlflowException, OSError) as error:
        raise ConfigError(
            # chr(10), as an f-string of Python 3.11 may hold no backslash.
            f"MLflow cannot be used at {place}: {str(error).partition(chr(10))[0]}",
            hint="Give a folder or the URL of a server: --tracker mlflow:http://127.0.0.1:5000",
        ) from error
    return MlflowRun(client, experiment_id, run_id, name)


def _open_experiment(place: str) -> tuple[MlflowClient, str]:
    if "://" in place:
        client, artifacts = MlflowClient(tracking_uri=place), None
    else:
        folder = Path(place).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        client, artifacts = MlflowClient(tracking_uri=sqlite_url(folder / "mlflow.db")), (folder / "models").as_uri()
    found = client.get_experiment_by_name(EXPERIMENT)
    return client, found.experiment_id if found else client.create_experiment(EXPERIMENT, artifact_location=artifacts)
