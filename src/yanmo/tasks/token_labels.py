"""Token labels: every unit of a text has one of C tags; what is decided are spans: words, entities, slots.

What the tags mean, and so what is measured, follows from a Dataset's labels; ``of`` gives the task of such a list.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import polars as pl

from yanmo.answers.answered import Answered, Decided, Span
from yanmo.answers.choices import Choices
from yanmo.answers.legal_paths import best_legal
from yanmo.answers.links import SOFTMAX, Link
from yanmo.answers.span_column import SPAN_LISTS, span_column
from yanmo.answers.span_rows import SpanRows
from yanmo.answers.spans import find_spans, span_probability_M
from yanmo.answers.tags import TagScheme
from yanmo.arrays import FloatArray, IntArray, Ragged
from yanmo.errors import InternalError
from yanmo.metrics.measures import Measure
from yanmo.metrics.spans import SPAN_MEASURES, measures_of, right_tag_rows, span_statistics
from yanmo.protocols import Prediction
from yanmo.tasks.labels import LabelTask, label_columns, sort_labels
from yanmo.text.inputs import Inputs
from yanmo.text.unit_places import cut_places

__all__ = ["TOKEN_LABELS", "TokenLabels"]

TINY = 1e-30


@dataclass(frozen=True)
class TokenLabels(LabelTask):
    """The protocol for one tag a unit; targets are the tags' places in the list, ragged, -1 where there is none."""

    name: str = "token_labels"
    inputs: tuple[str, ...] = ("text",)
    link: Link = SOFTMAX
    measures: tuple[Measure, ...] = SPAN_MEASURES
    reads_units: bool = True
    scheme: TagScheme | None = None

    def of(self, labels: Sequence[str]) -> TokenLabels:
        """Return the task of a list of tags, whose scheme they tell."""
        scheme = TagScheme.of(labels)
        return replace(self, scheme=scheme, measures=measures_of(scheme))

    def parse_labels(self, column: pl.Series, separator: str | None) -> pl.Series:  # noqa: ARG002
        """Return the lists of tags, which the readers of tagged files have made."""
        return column.cast(pl.List(pl.String))

    def label_names(self, column: pl.Series) -> list[str]:
        """Return the distinct tags in their fixed order."""
        return sort_labels(column.explode().drop_nulls().unique().to_list())

    def encode(self, column: pl.Series, labels: Sequence[str]) -> Ragged:
        """Return every unit's place in the list of tags, int64, -1 where it has none, of N rows."""
        # An empty list explodes to one null, which is no unit.
        lengths_N = column.list.len().to_numpy()
        flat = column.filter(column.list.len() > 0).explode()
        values_U = np.full(len(flat), -1, dtype=np.int64)
        known = flat.is_not_null().to_numpy()
        values_U[known] = label_columns(flat.drop_nulls(), labels)
        return Ragged(values_U, np.concatenate(([0], np.cumsum(lengths_N))).astype(np.int64))

    def padded(self, targets: Ragged, inputs: Inputs) -> Ragged:
        """Return the tags of the first rows of inputs; the units of those behind them have none."""
        offsets = inputs.units.places.offsets if inputs.units is not None else targets.offsets
        values_U = np.full(int(offsets[-1]), -1, dtype=np.int64)
        values_U[: len(targets.values)] = targets.values
        return Ragged(values_U, offsets)

    def choose(self, probabilities_NC: FloatArray) -> npt.NDArray[np.bool_]:
        """Return True at the most probable tag of every unit, each for itself."""
        return np.asarray(probabilities_NC.argmax(axis=1)[:, None] == np.arange(probabilities_NC.shape[1]))

    def path(self, evidence: Choices) -> IntArray:
        """Return the tags of the best legal path, as columns, int64, shape (U,)."""
        if evidence.path_M is not None:
            return evidence.path_M
        return best_legal(evidence.values_MC, evidence.offsets_N, self._scheme)

    @property
    def _scheme(self) -> TagScheme:
        if self.scheme is None:
            raise InternalError("The task token_labels was not told its labels.")
        return self.scheme

    def decide(self, evidence: Choices, labels: Sequence[str], *, threshold: float | None = None) -> Decided:
        """Return the spans of every row, and the probability of the least certain one; less probable ones are none."""
        task = self if self.scheme is not None else self.of(labels)
        scheme, offsets, path_U = task._scheme, evidence.offsets_N, task.path(evidence)
        spans = find_spans(path_U, offsets, scheme)
        sure_M = span_probability_M(evidence, path_U, scheme, spans)
        confidence_N = _least(sure_M, spans.row_M, len(evidence))
        if threshold is not None:
            spans, sure_M = spans.take(sure_M >= threshold), sure_M[sure_M >= threshold]
        places_U2 = _places(evidence)
        places_M2 = spans.places_M2(places_U2) if len(spans) else np.zeros((0, 2), dtype=np.int64)
        ends = np.searchsorted(spans.row_M, np.arange(len(evidence) + 1))
        return Decided(SpanRows(places_M2, spans.kind_M, sure_M, kinds=scheme.kinds, ends=ends), confidence_N)

    def column(self, predictions: Sequence[tuple[Span, ...] | None]) -> pl.Series:
        """Return the spans as a column of lists of ``start``, ``end``, ``label``, ``probability``, ``source``."""
        return span_column(predictions)

    def frame_type(self) -> pl.DataType:
        """Return the type of a list of spans."""
        return SPAN_LISTS

    def given(self, prediction: tuple[Span, ...] | None) -> tuple[str, ...]:
        """Return the kinds of the spans."""
        return tuple([span.label for span in prediction or ()])

    def columns_of(self, labels: Sequence[str]) -> dict[str, int]:
        """Return of every kind of span the place of its first tag."""
        scheme = self.of(labels)._scheme
        places = {kind: place for place, kind in reversed(list(enumerate(scheme.kind_C.tolist()))) if kind >= 0}
        return {scheme.kinds[kind]: place for kind, place in places.items()}

    def tell(self, answered: Answered[Choices], inputs: Inputs, labels: Sequence[str]) -> list[Prediction]:  # noqa: ARG002
        """Return every row's spans with what stands there."""
        predictions, probabilities = answered.decided.predictions, answered.decided.probability_N.tolist()
        if isinstance(predictions, SpanRows):
            texts = cut_places(inputs.first, Ragged(predictions.places_M2, predictions.ends))
            told: Iterable[tuple[Span, ...]] = predictions.with_texts(texts)
        else:
            rows = zip(predictions, inputs.first, strict=True)
            told = [tuple([span.within(text) for span in spans or ()]) for spans, text in rows]
        return [
            Prediction(self.given(spans), sure, {}, spans=spans)
            for spans, sure in zip(told, probabilities, strict=True)
        ]

    def statistics(self, evidence: Choices, targets: Ragged) -> npt.NDArray[np.float64]:
        """Return what ``metrics.spans`` counts in each row."""
        return span_statistics(self.path(evidence), targets.values, targets.offsets, self._scheme)

    def labeled(self, evidence: Choices, targets: Ragged) -> tuple[Choices, FloatArray]:
        """Return the units that have a tag, row after row, and 1 at it."""
        labeled_M = np.flatnonzero(targets.values >= 0)
        targets_MC = np.zeros((len(labeled_M), evidence.values_MC.shape[1]), dtype=np.float32)
        targets_MC[np.arange(len(labeled_M)), targets.values[labeled_M]] = 1.0
        return Choices(evidence.values_MC[labeled_M], evidence.link), targets_MC

    def losses_N(self, evidence: Choices, targets: Ragged) -> npt.NDArray[np.float64]:
        """Return the mean negative logarithm of the true tag's probability over each row's labeled units."""
        truth_U, labeled = targets.values, np.flatnonzero(targets.values >= 0)
        losses_U = np.zeros(len(truth_U))
        chosen_U = evidence.values_MC[labeled, truth_U[labeled]].astype(np.float64)
        losses_U[labeled] = -np.log(np.maximum(chosen_U, TINY))
        row_U = np.repeat(np.arange(len(targets)), targets.lengths_N)
        sums_N = np.bincount(row_U, losses_U, minlength=len(targets))
        return np.asarray(sums_N / np.maximum(np.bincount(row_U[labeled], minlength=len(targets)), 1))

    def confidence_N(self, evidence: Choices) -> FloatArray:
        """Return the probability of each row's least certain tag."""
        path_U = self.path(evidence)
        sure_U = evidence.values_MC[np.arange(len(path_U)), path_U]
        row_U = np.repeat(np.arange(len(evidence)), np.diff(evidence.offsets_N))
        return _least(sure_U, row_U, len(evidence))

    def same_N(self, evidence: Choices, other: Choices) -> npt.NDArray[np.bool_]:
        """Return which rows are given the same tags."""
        return _all_equal(self.path(evidence), self.path(other), evidence.offsets_N)

    def right_N(self, evidence: Choices, targets: Ragged) -> npt.NDArray[np.bool_]:
        """Return which rows have no unit with a wrong tag."""
        return right_tag_rows(self.statistics(evidence, targets))


def _least(values_M: FloatArray, row_M: IntArray, num_rows: int) -> FloatArray:
    """Return the least value of each row, 1 where it has none."""
    least_N = np.ones(num_rows, dtype=np.float32)
    np.minimum.at(least_N, row_M, values_M)
    return least_N


def _all_equal(path_U: IntArray, other_U: IntArray, offsets: IntArray) -> npt.NDArray[np.bool_]:
    wrong_U = np.concatenate(([0], np.cumsum(path_U != other_U)))
    return np.asarray(wrong_U[offsets[1:]] == wrong_U[offsets[:-1]])


def _places(evidence: Choices) -> IntArray:
    if evidence.places is None:
        raise InternalError("The evidence about units does not say where they are.")
    return evidence.places


TOKEN_LABELS = TokenLabels()
