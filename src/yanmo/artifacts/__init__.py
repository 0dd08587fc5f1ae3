"""The four kinds of immutable folders: Dataset, Bundle, Predictions, Report.

Everything on disk that outlives a command is one of them. This package knows no torch and no verb.
"""

from yanmo.artifacts.base import Artifact, Manifest
from yanmo.artifacts.bundle import Bundle, Golden
from yanmo.artifacts.dataset import Dataset
from yanmo.artifacts.predictions import Predictions
from yanmo.artifacts.report import Report

__all__ = ["KINDS", "Artifact", "Bundle", "Dataset", "Golden", "Manifest", "Predictions", "Report"]

KINDS: dict[str, type[Artifact]] = {kind.kind: kind for kind in (Dataset, Bundle, Predictions, Report)}
