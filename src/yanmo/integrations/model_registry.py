"""Models of an MLflow registry, by name and alias or version; the server is the one that MLFLOW_TRACKING_URI names.

It knows no artifact: what it hands over is a folder of files.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from yanmo.errors import ConfigError, MissingExtraError, StorageError

__all__ = ["download_model"]

MODEL = re.compile(r"models:/+([^/@]+)(?:@([^/@]+)|/([0-9]+))")
PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3", "MLFLOW_HTTP_REQUEST_TIMEOUT": "20"}
"""Where the user has not said otherwise: MLflow itself tries for four minutes."""


def download_model(address: str, target: Path) -> tuple[Path, str]:
    """Write the files of a registered model into a folder; return where they are, and the address of the version.

    Args:
        address: ``models:/NAME@ALIAS`` or ``models:/NAME/VERSION``.
        target: The folder, which is there.

    Raises:
        ConfigError: The address is of another form, or nothing says which server is meant.
        MissingExtraError: MLflow is not installed.
        StorageError: There is no such model, or the server cannot be reached.
    """
    found = MODEL.fullmatch(address)
    if found is None:
        raise ConfigError(
            f"A registered model must be models:/NAME@ALIAS or models:/NAME/VERSION. Got '{address}' instead.",
            hint="Name an alias, such as @champion, or a version.",
        )
    try:
        from mlflow import MlflowClient, is_tracking_uri_set
        from mlflow.artifacts import download_artifacts
    except ImportError as error:
        raise MissingExtraError(address, package="mlflow-skinny", extra="mlflow") from error
    if not is_tracking_uri_set() and "MLFLOW_REGISTRY_URI" not in os.environ:
        raise ConfigError(
            f"Nothing says which registry {address} is in.",
            hint="Set MLFLOW_TRACKING_URI to the address of the server.",
        )
    name, alias, version = found.groups()
    with _patient():
        try:
            if alias:
                # An alias moves: from here on it is the version that counts.
                version = str(MlflowClient().get_model_version_by_alias(name, alias).version)
            pinned = f"models:/{name}/{version}"
            return Path(download_artifacts(artifact_uri=pinned, dst_path=str(target))), pinned
        # Databases and clouds raise errors of their own through MLflow.
        except Exception as error:  # noqa: BLE001 - they have no class in common
            raise StorageError(
                f"{address} cannot be had: {next(iter(str(error).splitlines()), type(error).__name__)}",
                hint="Check the name, the alias, and the server that MLFLOW_TRACKING_URI names.",
            ) from None


@contextlib.contextmanager
def _patient() -> Iterator[None]:
    """Let MLflow give up soon, unless the user has said when."""
    ours = {name: value for name, value in PATIENCE.items() if name not in os.environ}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name in ours:
            os.environ.pop(name, None)
