"""What is wrong with spans: lost, invented, of a wrong kind, with a wrong boundary, or of new words; it knows no text.

Legend: M spans.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from yanmo.answers.spans import Spans
from yanmo.arrays import IntArray
from yanmo.metrics.spans import overlapping_M, same_place, same_span_M

__all__ = ["SPAN_ERRORS", "VocabularyRecall", "count_span_errors", "span_errors_M", "vocabulary_recall"]

SPAN_ERRORS = ("right", "wrong_kind", "wrong_boundary", "wrong_kind_and_boundary", "missing")
"""What a span is to the other side's spans: the first that is true of it."""
RIGHT, WRONG_KIND, WRONG_BOUNDARY, WRONG_BOTH, MISSING = range(5)


def span_errors_M(spans: Spans, others: Spans) -> IntArray:
    """Return what each span is to the others, a place in ``SPAN_ERRORS``, int64, shape (M,).

    ``right``: it is one of them. ``wrong_kind``: one stands at its place and is of another kind. ``wrong_boundary``:
    one of its kind has some unit in common with it. ``wrong_kind_and_boundary``: so has one of another kind.
    ``missing``: none has. A found span that is missing in the truth was invented; one of the truth was lost.
    """
    errors_M = np.full(len(spans), MISSING)
    errors_M[overlapping_M(spans, others)] = WRONG_BOTH
    # From the weakest to the strongest, so that the last one that is true stays.
    errors_M[overlapping_M(spans, others, of_kind=True)] = WRONG_BOUNDARY
    errors_M[same_place(spans, others)[0]] = WRONG_KIND
    errors_M[same_span_M(spans, others)] = RIGHT
    return errors_M


def count_span_errors(found: Spans, truth: Spans) -> dict[str, int]:
    """Return how many of the found spans are what, and how many of the truth were lost.

    The counts but ``lost`` sum to the found spans. Two found spans may have parts of one of the truth.

    Args:
        found: From ``labeled_spans``.
        truth: The spans that hold.
    """
    found_M, truth_M = span_errors_M(found, truth), span_errors_M(truth, found)
    counts = np.bincount(found_M, minlength=len(SPAN_ERRORS)).tolist()
    *others, invented = zip(SPAN_ERRORS, counts, strict=True)
    return {**dict(others), "invented": invented[1], "lost": int((truth_M == MISSING).sum())}


class VocabularyRecall(NamedTuple):
    """How many words of the truth were found; NaN where there are none.

    Attributes:
        new_share: The share of words that the training data has not.
        new_recall: The share of these that were found.
        known_recall: The share of the others that were found.
    """

    new_share: float
    new_recall: float
    known_recall: float


def vocabulary_recall(words: Sequence[str], right_M: npt.NDArray[np.bool_], known: Collection[str]) -> VocabularyRecall:
    """Return how well words are found that training data has not, and those that it has.

    Args:
        words: Of the truth, every time that they occur: what ``Spans.texts`` gives.
        right_M: Whether each was found: ``same_span_M(truth, found)``.
        known: The words of the training data; a set, as each word is looked up.

    Source: Sproat, Emerson 2003, "The First International Chinese Word Segmentation Bakeoff", section 3. Differs: words
    are compared by their places and not by ``diff``, which may take a word for an equal one that stands elsewhere.
    """
    new_M = np.fromiter((word not in known for word in words), dtype=np.bool_, count=len(words))
    return VocabularyRecall(_mean(new_M), _mean(right_M[new_M]), _mean(right_M[~new_M]))


def _mean(values: npt.NDArray[np.bool_]) -> float:
    return float(values.mean()) if len(values) else float("nan")
