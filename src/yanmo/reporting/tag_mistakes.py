"""The most confident mistakes about spans, shown where they stand in their texts; it measures nothing.

Legend: U units of N rows, C tags.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from yanmo.answers.choices import Choices
from yanmo.answers.spans import Spans, least_within_M
from yanmo.arrays import Ragged
from yanmo.errors import InternalError
from yanmo.metrics.span_errors import SPAN_ERRORS, span_errors_M
from yanmo.reporting.tag_quality import JudgedSpans, judge_spans

__all__ = ["worst_tag_mistakes"]

CONTEXT_CHARACTERS = 80
RIGHT, MISSING = SPAN_ERRORS.index("right"), SPAN_ERRORS.index("missing")


def worst_tag_mistakes(
    evidence: Choices, targets: Ragged, labels: Sequence[str], texts: Sequence[str], *, num_mistakes: int
) -> list[dict[str, Any]]:
    """Return the spans that were wrong with the most confidence, in their texts, the most confident first.

    They are found spans that are wrong, and spans of the truth of which nothing was found; the confidence of those is
    the probability of the least sure tag that their units were given instead.

    Args:
        evidence: Probabilities of every unit's tags, with the places of the units.
        targets: The tag of every unit; -1 where a unit has none.
        labels: C tags, the columns.
        texts: N texts.
        num_mistakes: At most so many.

    Returns:
        Of each the ``row``, the ``error``, the ``predicted`` kind or None, the ``probability``, the ``span`` with its
        ``start`` and ``end`` in the text, what stands ``before`` and ``after`` it, and the ``truth`` that it overlaps.
    """
    judged = judge_spans(evidence, targets, labels)
    found_M, truth_M = span_errors_M(judged.found, judged.truth), span_errors_M(judged.truth, judged.found)
    wrong, lost = np.flatnonzero(found_M != RIGHT), np.flatnonzero(truth_M == MISSING)
    sure_lost = least_within_M(judged.chosen_U, judged.truth.take(lost))
    sure = np.concatenate([judged.probability_M[wrong], sure_lost])
    mistakes = []
    for place in np.argsort(-sure, kind="stable")[:num_mistakes].tolist():
        is_found = place < len(wrong)
        which = wrong[place] if is_found else lost[place - len(wrong)]
        error = SPAN_ERRORS[found_M[which]] if is_found else "lost"
        mistake = {
            "error": "invented" if error == "missing" else error,
            "predicted": judged.scheme.kinds[judged.found.kind_M[which]] if is_found else None,
            "probability": float(sure[place]),
        }
        spans = judged.found if is_found else judged.truth
        mistakes.append(mistake | _place(spans.take(np.array([which])), judged, evidence, texts))
    return mistakes


def _place(span: Spans, judged: JudgedSpans, evidence: Choices, texts: Sequence[str]) -> dict[str, Any]:
    """Return where one span stands, what is around it, and the spans of the truth that it overlaps."""
    truth, places = judged.truth, evidence.places
    if places is None:
        raise InternalError("Units have no places in their texts.")
    first, last = np.searchsorted(truth.end_M, span.start_M[0], "right"), np.searchsorted(truth.start_M, span.end_M[0])
    row, text = int(span.row_M[0]), texts[int(span.row_M[0])]
    start, end = span.places_M2(places)[0].tolist()
    near = truth.take(np.arange(first, last))
    ends = zip(near.places_M2(places).tolist(), near.kind_M.tolist(), strict=True)
    return {
        "row": row,
        "start": start,
        "end": end,
        "before": text[max(0, start - CONTEXT_CHARACTERS) : start],
        "span": text[start:end],
        "after": text[end : end + CONTEXT_CHARACTERS],
        "truth": [
            {"label": judged.scheme.kinds[kind], "start": begin, "end": stop, "span": text[begin:stop]}
            for (begin, stop), kind in ends
        ],
    }
