"""The profile of what a Bundle reads and answers on validation rows, which a service holds its inputs against."""

from __future__ import annotations

from typing import Any

import polars as pl

from yanmo.artifacts.bundle import Bundle
from yanmo.artifacts.dataset import Dataset
from yanmo.artifacts.profile import make_input_profile
from yanmo.runtimes.predictor import open_bundle
from yanmo.tasks.labels import count_labels
from yanmo.text.inputs import Inputs

__all__ = ["MAX_ROWS", "profile_inputs"]

MAX_ROWS = 2000


def profile_inputs(bundle: Bundle, dataset: Dataset) -> dict[str, Any]:
    """Return what a manifest's ``info`` says about the inputs; nothing where the Dataset has no validation rows.

    Args:
        bundle: The Bundle, which may have no manifest yet.
        dataset: Of its validation rows the first ``MAX_ROWS`` are asked.
    """
    if "valid" not in dataset.splits or not (rows := dataset.split("valid").head(MAX_ROWS)).height:
        return {}
    # The Bundle may be unfinished, without golden answers.
    with open_bundle(bundle, verify_golden=False) as predictor:
        answered = predictor.answer(predictor.encode(Inputs.of_frame(rows, predictor.task.inputs)))
    decided, found = answered.decided, answered.found
    given = pl.Series(decided.predictions, dtype=predictor.task.frame_type())
    return make_input_profile(
        found.num_tokens_N,
        found.num_unknown_N,
        decided.probability_N,
        count_labels(given, bundle.labels),
    )
