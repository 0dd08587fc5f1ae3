"""How well spans are found that the training data has not, and those that it has, as JSON values; it draws nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from yanmo.answers.choices import Choices
from yanmo.answers.spans import find_spans
from yanmo.answers.tags import TagScheme
from yanmo.arrays import Ragged
from yanmo.errors import InternalError
from yanmo.metrics.span_errors import vocabulary_recall
from yanmo.metrics.spans import same_span_M
from yanmo.reporting.tag_quality import judge_spans
from yanmo.tasks.labels import LabelTask
from yanmo.text.unit_places import UnitRule, unit_places

__all__ = ["known_spans", "measure_new_spans"]


def measure_new_spans(
    evidence: Choices, targets: Ragged, labels: Sequence[str], texts: Sequence[str], known: set[str]
) -> dict[str, Any]:
    """Return how many spans of the truth are new, and the share that is found of these and of the others.

    Args:
        evidence: Probabilities of every unit's tags, with the places of the units.
        targets: The tag of every unit; -1 where a unit has none.
        labels: C tags, the columns.
        texts: N texts.
        known: The spans of the training data, from :func:`known_spans`.
    """
    judged, places = judge_spans(evidence, targets, labels), evidence.places
    if places is None:
        raise InternalError("Units have no places in their texts.")
    found = vocabulary_recall(judged.truth.texts(texts, places), same_span_M(judged.truth, judged.found), known)
    return {"num_known": len(known), **found._asdict()}


def known_spans(train: pl.DataFrame, labels: Sequence[str], task: LabelTask, rule: UnitRule) -> set[str]:
    """Return the spans of training rows, each once, whatever their kind.

    Args:
        train: With the columns of the task's inputs and ``label``.
        labels: C tags.
        task: Encodes them.
        rule: What a unit is.
    """
    texts, targets = train[task.inputs[0]].to_list(), task.encode(train["label"], labels)
    spans = find_spans(targets.values, targets.offsets, TagScheme.of(labels))
    return set(spans.texts(texts, unit_places(texts, rule).values))
