"""The parts of a Report about answers, by what was decided about: whole texts, or their units; it measures nothing.

They are chosen by the evidence, and never by the name of a task.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from yanmo.answers.arcs import Arcs
from yanmo.answers.choices import Choices
from yanmo.answers.forms import row_of
from yanmo.answers.gaps import Gaps
from yanmo.answers.pointers import Pointers
from yanmo.answers.sequences import Sequences
from yanmo.answers.tags import TagScheme
from yanmo.answers.writings import Writings
from yanmo.arrays import Ragged
from yanmo.artifacts.dataset import Dataset
from yanmo.reporting.gap_quality import hardest_to_guess, measure_gap_quality
from yanmo.reporting.language_quality import (
    compare_likelihoods,
    hardest_texts,
    measure_baseline,
    measure_language_quality,
    no_calibration,
)
from yanmo.reporting.new_spans import known_spans, measure_new_spans
from yanmo.reporting.pages import render_evaluation, render_gaps, render_language, render_written
from yanmo.reporting.passage_quality import (
    measure_passage_calibration,
    measure_passage_quality,
    worst_passage_mistakes,
)
from yanmo.reporting.quality import compare_answers, measure_calibration, measure_quality, worst_mistakes
from yanmo.reporting.tag_mistakes import worst_tag_mistakes
from yanmo.reporting.tag_quality import measure_tag_calibration, measure_tag_quality
from yanmo.reporting.tree_quality import measure_tree_calibration, measure_tree_quality, worst_trees
from yanmo.reporting.written_quality import (
    measure_pairs,
    measure_written_calibration,
    measure_written_quality,
    worst_written,
)
from yanmo.tasks.labels import LabelTask

__all__ = ["Sections", "sections_of"]

TEXT_CHARACTERS = 2000


class Sections(NamedTuple):
    """Functions of ``(evidence, targets, labels, task)`` that return JSON values.

    Attributes:
        quality: Scores with their intervals and tables; takes ``num_resamples`` and ``seed``, too.
        calibration: How well probabilities match frequencies.
        novelty: How well is found what training has not; takes the ``frame`` of the rows and their ``dataset``.
        mistakes: The most confident mistakes with their texts; takes the ``frame`` of the rows and ``num_mistakes``.
        compare: How much better one model is than another; takes the evidence of both, targets and task.
        page: From the whole Report to its page.
    """

    quality: Callable[..., dict[str, Any]]
    calibration: Callable[..., dict[str, Any]]
    novelty: Callable[..., dict[str, Any]]
    mistakes: Callable[..., list[dict[str, Any]]]
    compare: Callable[..., dict[str, Any]]
    page: Callable[[Mapping[str, Any]], str]


def sections_of(evidence: Any) -> Sections:
    """Return the parts of a Report about such evidence."""
    return row_of(SECTIONS, type(evidence), "A Report")(evidence)


def _sections_of_choices(evidence: Choices) -> Sections:
    return OF_TEXTS if evidence.ends is None else OF_UNITS


def _mistakes_of_texts(
    evidence: Choices,
    targets_NC: Any,
    labels: Sequence[str],
    task: LabelTask,
    *,
    frame: pl.DataFrame,
    num_mistakes: int,
) -> list[dict[str, Any]]:
    found = worst_mistakes(evidence, targets_NC, task, num_mistakes=num_mistakes)
    rows = [row for row, _ in found]
    # An empty list would become an array of floats, which picks no rows.
    answers = task.decide(evidence.take(np.asarray(rows, dtype=np.int64)), labels).predictions
    return [
        {
            "id": record["id"],
            **{name: record[name][:TEXT_CHARACTERS] for name in task.inputs},
            "label": record["label"],
            "predicted": answer,
            "probability": confidence,
        }
        for record, answer, (_, confidence) in zip(frame[rows].to_dicts(), answers, found, strict=True)
    ]


def _mistakes_of_units(
    evidence: Choices,
    targets: Ragged,
    labels: Sequence[str],
    task: LabelTask,
    *,
    frame: pl.DataFrame,
    num_mistakes: int,
) -> list[dict[str, Any]]:
    texts, ids = frame[task.inputs[0]].to_list(), frame["id"].to_list()
    found = worst_tag_mistakes(evidence, targets, labels, texts, num_mistakes=num_mistakes)
    return [{"id": ids[one.pop("row")], **one} for one in found]


def _nothing_new(*_: Any, **__: Any) -> dict[str, Any]:
    return {}


def _new_spans(
    evidence: Choices, targets: Ragged, labels: Sequence[str], task: LabelTask, *, frame: pl.DataFrame, dataset: Dataset
) -> dict[str, Any]:
    rule = dataset.text_config.units
    # Every unit of plain tags is a span, and how often its text is new says nothing about them.
    if TagScheme.of(labels).is_plain or rule is None or "train" not in dataset.splits:
        return {"new_spans": None}
    known, texts = known_spans(dataset.split("train"), labels, task, rule), frame[task.inputs[0]].to_list()
    return {"new_spans": measure_new_spans(evidence, targets, labels, texts, known)}


LABELED = (compare_answers, render_evaluation)
OF_TEXTS = Sections(measure_quality, measure_calibration, _nothing_new, _mistakes_of_texts, *LABELED)
OF_UNITS = Sections(measure_tag_quality, measure_tag_calibration, _new_spans, _mistakes_of_units, *LABELED)
OF_PASSAGES = Sections(
    measure_passage_quality, measure_passage_calibration, _nothing_new, worst_passage_mistakes, *LABELED
)
OF_TREES = Sections(measure_tree_quality, measure_tree_calibration, _nothing_new, worst_trees, *LABELED)
OF_TOKENS = Sections(
    measure_language_quality, no_calibration, measure_baseline, hardest_texts, compare_likelihoods, render_language
)
OF_WRITTEN = Sections(
    measure_written_quality, measure_written_calibration, measure_pairs, worst_written, compare_answers, render_written
)
OF_GAPS = Sections(
    measure_gap_quality, no_calibration, _nothing_new, hardest_to_guess, compare_likelihoods, render_gaps
)
SECTIONS: dict[type[Any], Callable[[Any], Sections]] = {
    Choices: _sections_of_choices,
    Pointers: lambda _: OF_PASSAGES,
    Arcs: lambda _: OF_TREES,
    Sequences: lambda _: OF_TOKENS,
    Writings: lambda _: OF_WRITTEN,
    Gaps: lambda _: OF_GAPS,
}
"""Form of evidence to the parts of a Report about it."""
