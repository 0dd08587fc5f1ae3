"""The answer to ``{"inputs": …}``: labels with scores, as text-embeddings-inference gives them; it knows no model.

Source: text-embeddings-inference, ``router/src/http/types.rs`` (PredictRequest, PredictResponse) and ``server.rs``.
Differs: a flat list of several texts is a batch where the model reads one text at a time; problems are RFC 9457.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from yanmo.answers.links import Link
from yanmo.serving.exchange import ENCODER
from yanmo.serving.requests import Request
from yanmo.serving.schemas import Answer, LabelScore, PredictBody
from yanmo.tasks.deciding import most_probable

__all__ = ["encode_scores"]

SMALLEST = 2.0**-149
"""The smallest number of float32 above 0: a probability that was rounded to 0 is at most this."""
EPSILON = 2.0**-24
"""A probability that was rounded to 1 is at most this much below it."""


def encode_scores(answers: Sequence[Answer], request: Request, *, link: Link) -> bytes:
    """Return the body of the answer: one list of scores for one text, else a list of such lists.

    Args:
        answers: What the model says about each text.
        request: What was asked, and with which options.
        link: From scores to probabilities.
    """
    raw = (_log if link.excludes else _log_odds) if request.options.raw_scores is True else float
    ranked = [_rank(answer, request.options, raw) for answer in answers]
    return ENCODER.encode(ranked[0] if request.is_single else ranked)


def _rank(answer: Answer, options: PredictBody, raw: Callable[[float], float]) -> list[LabelScore]:
    """Return the labels that were asked for, the most probable first."""
    if not isinstance(answer.probabilities, Mapping):
        return []
    top_k = options.top_k if isinstance(options.top_k, int) else None
    threshold = options.threshold if isinstance(options.threshold, float | int) else 0.0
    best = most_probable(answer.probabilities, top_k=top_k, threshold=threshold)
    return [LabelScore(raw(share), label) for label, share in best]


def _log(share: float) -> float:
    """Return the score of a softmax, up to a constant of its text."""
    return math.log(max(share, SMALLEST))


def _log_odds(share: float) -> float:
    """Return the score of a sigmoid."""
    return _log(share) - math.log(max(1 - share, EPSILON))
