"""Rows that stand for what a Bundle reads: golden examples, and the profile that a service holds its inputs against."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from yanmo.artifacts.bundle import Bundle, write_golden
from yanmo.artifacts.dataset import Dataset
from yanmo.artifacts.profile import make_input_profile
from yanmo.runtimes.predictor import open_bundle
from yanmo.tasks.deciding import count_given
from yanmo.text.inputs import Inputs

__all__ = ["MAX_ROWS", "answer_examples", "golden_inputs", "profile_inputs", "write_answers"]

MAX_ROWS = 2000
# Whoever opens a Bundle answers them first, so they are few and short.
NUM_GOLDEN = 16
MAX_GOLDEN_CHARACTERS = 1000


def answer_examples(made: Bundle, dataset: Dataset, names: Sequence[str]) -> dict[str, Any]:
    """Write the golden examples of an unfinished Bundle; return what its manifest's ``info`` says about the inputs.

    Args:
        made: The Bundle, which has no manifest yet.
        dataset: Whose validation rows are asked.
        names: The columns that the task reads.
    """
    write_answers(made, golden_inputs(dataset, "valid", names))
    return profile_inputs(made, dataset)


def golden_inputs(dataset: Dataset, split: str, names: Sequence[str]) -> Inputs:
    """Return raw rows of a split to keep as golden examples, from the shortest to the longest.

    Args:
        dataset: Whose split it is.
        split: Its name.
        names: The columns that the task reads; the first one's length counts.
    """
    length = pl.col(names[0]).str.len_chars()
    rows = dataset.split(split).filter(length <= MAX_GOLDEN_CHARACTERS).sort(length, maintain_order=True)
    # Distinct ones, for there may be fewer rows than are wanted.
    places = np.unique(np.linspace(0, max(rows.height - 1, 0), NUM_GOLDEN).round().astype(np.int64))
    return Inputs.of_frame(rows[places.tolist()] if rows.height else rows, names)


def write_answers(made: Bundle, inputs: Inputs) -> None:
    """Write the golden examples of an unfinished Bundle: raw rows, and what it answers to them."""
    # What would be verified is only now being made.
    with open_bundle(made, verify_golden=False) as predictor:
        evidence, _ = predictor.infer(inputs)
    precision = made.manifest.info.get("precision", "fp32")
    write_golden(made.path, predictor.task.inputs, inputs, evidence, precision=precision)


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
    return make_input_profile(
        found.num_tokens_N,
        found.num_unknown_N,
        decided.probability_N,
        count_given(predictor.task, decided.predictions, bundle.labels),
    )
