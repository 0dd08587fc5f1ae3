"""Span: where the answer to a question stands in a passage, or that it stands nowhere in it.

Its labels are ``answer`` and ``none``: whether a row has one. Where it stands is the column ``answers`` of a Dataset.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from yanmo.answers.answered import Answered, Decided, Span
from yanmo.answers.passage_spans import BestSpans, PassageSpans
from yanmo.answers.passage_truth import PassageTruth
from yanmo.answers.pointers import Pointers
from yanmo.answers.span_column import SPAN_LISTS, span_column
from yanmo.arrays import Doubles, FloatArray, Ragged
from yanmo.metrics.measures import Measure
from yanmo.metrics.reading import READING_MEASURES, chinese_scores, english_scores, reading_statistics
from yanmo.protocols import Prediction, Task
from yanmo.text.inputs import Inputs
from yanmo.text.pipeline import TextConfig
from yanmo.text.unit_places import unit_places
from yanmo.text.units import cjk_share

__all__ = ["ANSWER", "NONE", "SPAN", "ReadsPassages"]

ANSWER, NONE = "answer", "none"
MAX_ANSWER = 100
"""Most characters of an answer, if nothing else is said."""
NUM_TOLD = 5
"""So many answers are told of a row, the best first."""
TINY = 1e-30
CHINESE = 0.1
"""A passage with a larger share of ideographs among its letters is measured as Chinese."""


@dataclass(frozen=True)
class ReadsPassages(Task[Pointers]):
    """The protocol for answers in passages; targets are a ``PassageTruth``.

    Attributes:
        max_answer: Most characters of an answer.
    """

    name: str = "span"
    inputs: tuple[str, ...] = ("passage", "question")
    truth_columns: tuple[str, ...] = ("answers",)
    # All questions about a passage are on one side of a split.
    group: tuple[str, ...] = ("passage",)
    least_labels: int = 1
    form: type[Pointers] = Pointers
    head: str = "passages"
    reads_units: bool = False
    measures: tuple[Measure, ...] = READING_MEASURES
    max_answer: int = MAX_ANSWER

    def of(self, labels: Sequence[str]) -> ReadsPassages:  # noqa: ARG002 - other tasks read them
        """Return the task itself."""
        return self

    def reading(self, config: TextConfig) -> ReadsPassages:
        """Return the task of answers that are at most as long as a Dataset says."""
        return self if config.max_answer is None else replace(self, max_answer=config.max_answer)

    def parse_labels(self, column: pl.Series, separator: str | None) -> pl.Series:  # noqa: ARG002
        """Return the labels, which the reader of passages has made."""
        return column.cast(pl.String)

    def label_names(self, column: pl.Series) -> list[str]:  # noqa: ARG002 - a Dataset may have one of them only
        """Return both labels, so that models of any two Datasets are alike."""
        return [ANSWER, NONE]

    def encode(self, column: pl.Series, labels: Sequence[str]) -> npt.NDArray[Any]:  # noqa: ARG002
        """Return whether each row has an answer, float32, shape (N, 2)."""
        has_N = (column == ANSWER).to_numpy()
        return np.stack([has_N, ~has_N], axis=1).astype(np.float32)

    def targets(self, rows: pl.DataFrame, labels: Sequence[str]) -> PassageTruth:  # noqa: ARG002
        """Return the passages with the answers that count as right."""
        passages = rows["passage"].to_list()
        # A passage with many questions is cut once.
        numbers = {text: number for number, text in enumerate(dict.fromkeys(passages))}
        places = unit_places(list(numbers), "tokens").take(np.array([numbers[text] for text in passages], np.int64))
        return PassageTruth.read(passages, rows["answers"], places)

    def padded(self, targets: PassageTruth, inputs: Inputs) -> PassageTruth:
        """Return the truth of the first rows of inputs; nothing is known of those behind them."""
        behind, ends = list(inputs.first[len(targets) :]), targets.spans.offsets
        offsets = np.concatenate([ends, np.full(len(behind), ends[-1])])
        answers = [*targets.answers, *[()] * len(behind)]
        return PassageTruth([*targets.passages, *behind], answers, Ragged(targets.spans.values, offsets))

    def outputs(self, labels: Sequence[str]) -> list[str]:  # noqa: ARG002 - other tasks have a score a label
        """Return the two scores of every unit of a passage."""
        return ["start", "end"]

    def is_one_answer(self, targets: PassageTruth) -> bool:
        """Return whether no question has an answer that could be found."""
        return not len(targets.spans.values)

    def read(self, frame: pl.DataFrame) -> Pointers:
        """Return the Pointers that a frame holds."""
        return Pointers.read(frame)

    def spans(self, evidence: Pointers) -> PassageSpans:
        """Return the probabilities of spans."""
        return PassageSpans(evidence, self.max_answer)

    def decide(self, evidence: Pointers, labels: Sequence[str], *, threshold: float | None = None) -> Decided:  # noqa: ARG002
        """Return the best span of every row, or none; an answer that is less probable than a threshold is none."""
        best = self.spans(evidence).best()
        is_none_N = best.is_none_N if threshold is None else best.is_none_N | (best.probability_N < threshold)
        sure_N = np.where(is_none_N, best.none_N, best.probability_N)
        rows = zip(is_none_N.tolist(), best.places_N2.tolist(), best.probability_N.tolist(), strict=True)
        spans = [() if is_none else (Span(start, end, ANSWER, sure),) for is_none, (start, end), sure in rows]
        return Decided(spans, sure_N.astype(np.float32))

    def column(self, predictions: Sequence[tuple[Span, ...] | None]) -> pl.Series:
        """Return the answers as a column of lists of spans, empty where there is none."""
        return span_column(predictions)

    def frame_type(self) -> pl.DataType:
        """Return the type of a list of spans."""
        return SPAN_LISTS

    def given(self, prediction: tuple[Span, ...] | None) -> tuple[str, ...]:
        """Return whether an answer was given."""
        return () if prediction is None else (ANSWER if prediction else NONE,)

    def columns_of(self, labels: Sequence[str]) -> dict[str, int]:
        """Return the place of both labels."""
        return {label: place for place, label in enumerate(labels)}

    def tell(self, answered: Answered[Pointers], inputs: Inputs, labels: Sequence[str]) -> list[Prediction]:  # noqa: ARG002
        """Return the text of every answer, None where there is none, and the best spans of which it was chosen."""
        spans, decided, silent_N = self.spans(answered.evidence), answered.decided, answered.decided.silent_N
        told = []
        for row, (chosen, text) in enumerate(zip(decided.predictions, inputs.first, strict=True)):
            several = spans.several(row, NUM_TOLD)
            best = [Span(start, end, ANSWER, sure).within(text) for start, end, sure in several]
            told.append(
                Prediction(
                    text[chosen[0].start : chosen[0].end] if chosen else None,
                    float(decided.probability_N[row]),
                    {ANSWER: 1.0 - float(spans.none_N[row]), NONE: float(spans.none_N[row])},
                    None if answered.found.stage_N is None else int(answered.found.stage_N[row]),
                    silent_N is not None and bool(silent_N[row]),
                    tuple(best),
                )
            )
        return told

    def statistics(self, evidence: Pointers, targets: PassageTruth) -> Doubles:
        """Return what ``metrics.reading`` counts in each row."""
        return self.score_texts(self.texts(evidence, targets), targets)

    def texts(self, evidence: Pointers, targets: PassageTruth) -> list[str]:
        """Return the text of every decided answer, "" where it is none."""
        return _texts(self.spans(evidence).best(), targets)

    def score_texts(self, texts: Sequence[str], targets: PassageTruth) -> Doubles:
        """Return what is counted in each row of answers that are given as texts."""
        rules = {one: chinese_scores if cjk_share([one]) > CHINESE else english_scores for one in set(targets.passages)}
        return reading_statistics(texts, targets.answers, [rules[one] for one in targets.passages])

    def losses_N(self, evidence: Pointers, targets: PassageTruth) -> Doubles:
        """Return the negative logarithm of the probability of all right spans, or of none where there is none."""
        return np.asarray(-np.log(np.maximum(self._right_share_N(evidence, targets), TINY)))

    def losses_M(self, evidence: Pointers, targets: PassageTruth) -> Doubles:
        """Return the losses of the rows whose truth has a place."""
        return self.losses_N(evidence, targets)[~_is_nowhere(targets)]

    def _right_share_N(self, evidence: Pointers, targets: PassageTruth) -> Doubles:
        spans = self.spans(evidence)
        found_N = Ragged(spans.of_spans(targets.spans), targets.spans.offsets).sums_N()
        return np.asarray(np.where(targets.is_answered_N, found_N, spans.none_N))

    def truth(self, evidence: Pointers, targets: PassageTruth, *, most: int) -> FloatArray:  # noqa: ARG002
        """Return the probability of right starts, then that of right ends, of every row whose truth has a place."""
        rows = np.flatnonzero(~_is_nowhere(targets))
        spans, last = targets.spans, evidence.num_cells_M[::2] - 1
        row_S = np.repeat(np.arange(len(targets)), spans.lengths_N)
        found = []
        for side, cell_S in ((0, spans.values[:, 0]), (1, spans.values[:, 1] - 1)):
            # Each cell once, however many answers begin or end there.
            at = np.unique(np.stack([row_S, cell_S], axis=1), axis=0)
            values = evidence.values_K[evidence.cells[2 * at[:, 0] + side] + at[:, 1]]
            shares_N = np.bincount(at[:, 0], values, minlength=len(targets))
            none_N = evidence.values_K[evidence.cells[side:-1:2] + last]
            found.append(np.where(targets.is_answered_N, shares_N, none_N)[rows])
        return np.concatenate(found).astype(np.float32)

    def answers(self, evidence: Pointers, targets: PassageTruth) -> tuple[Doubles, npt.NDArray[np.bool_]]:
        """Return how probable each answer is, a span or none, and whether it matches exactly."""
        best = self.spans(evidence).best()
        sure_N = np.where(best.is_none_N, best.none_N, best.probability_N)
        return sure_N, self.right_N(evidence, targets)

    def ballots(self, evidence: Pointers) -> Pointers:
        """Return 1 at the start and at the end of every answer, or at both last cells where there is none."""
        best, cells = self.spans(evidence).best(), evidence.cells
        starts_N = np.where(best.is_none_N, cells[1::2] - 1, cells[:-1:2] + best.places_N2[:, 0])
        ends_N = np.where(best.is_none_N, cells[2::2] - 1, cells[1::2] + best.places_N2[:, 1] - 1)
        values_K = np.zeros_like(evidence.values_K)
        values_K[np.concatenate([starts_N, ends_N])] = 1.0
        return evidence.having(values_K)

    def confidence_N(self, evidence: Pointers) -> FloatArray:
        """Return the probability of what is decided."""
        return self.decide(evidence, ()).probability_N

    def gap_N(self, evidence: Pointers) -> FloatArray:
        """Return the closest call of the two decisions of each row."""
        pairs_M = [np.sort(one)[-2:] for one in np.split(evidence.values_K, evidence.cells[1:-1])]
        gaps_M = np.array([one[-1] - one[0] if len(one) > 1 else 1.0 for one in pairs_M], dtype=np.float32)
        return np.asarray(gaps_M.reshape(-1, 2).min(axis=1, initial=1.0))

    def same_N(self, evidence: Pointers, other: Pointers) -> npt.NDArray[np.bool_]:
        """Return which rows are given the same span, or none by both."""
        ours, theirs = (self.spans(one).best() for one in (evidence, other))
        same_N = (ours.places_N2 == theirs.places_N2).all(axis=1)
        return np.asarray((same_N & ~ours.is_none_N & ~theirs.is_none_N) | (ours.is_none_N & theirs.is_none_N))

    def right_N(self, evidence: Pointers, targets: PassageTruth) -> npt.NDArray[np.bool_]:
        """Return which rows match a right answer exactly."""
        return np.asarray(self.statistics(evidence, targets)[:, 0] == 1)


def _texts(best: BestSpans, targets: PassageTruth) -> list[str]:
    rows = zip(best.is_none_N.tolist(), best.texts(targets.passages), strict=True)
    return ["" if is_none else text for is_none, text in rows]


def _is_nowhere(targets: PassageTruth) -> npt.NDArray[np.bool_]:
    """Return which rows have answers of which none stands in the passage."""
    return np.asarray(targets.is_answered_N & (targets.spans.lengths_N == 0))


SPAN = ReadsPassages()
