"""Texts that were written for others, as answers on the wire; it knows no model and no queue."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import UNSET

from yanmo.serving.exchange import ENCODER
from yanmo.serving.schemas import Answer, PredictBody, WrittenText

__all__ = ["encode_written", "trim_written"]


def trim_written(answers: Sequence[Answer], options: PredictBody) -> None:
    """Leave out of answers what was not asked for: candidates are told where top_k is, at most so many.

    Args:
        answers: To one request, changed in place.
        options: What was asked for; what is less probable than a threshold is no answer.
    """
    top_k, threshold = options.top_k, options.threshold
    for answer in answers:
        if not isinstance(answer.candidates, Sequence):
            continue
        answer.candidates = answer.candidates[: int(top_k)] if isinstance(top_k, int | float) else UNSET
        if isinstance(threshold, int | float):
            answer.abstained = answer.prediction is None or answer.probability < threshold
            answer.prediction = None if answer.abstained else answer.prediction


def encode_written(answers: Sequence[Answer]) -> bytes:
    """Return the answers to inputs, as the Hugging Face clients read those of translation and summarization."""
    texts = [answer.prediction if isinstance(answer.prediction, str) else "" for answer in answers]
    return ENCODER.encode([WrittenText(text, text, text) for text in texts])
