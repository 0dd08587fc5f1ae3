"""Gaps of texts over HTTP: what could stand there, as we and as others say it; it knows no model and no queue.

::

    {"text": "I drink [MASK]."}        {"prediction": "I drink tea.", "gaps": [{"start": 8, "words": […], …}], …}
    {"inputs": "I drink [MASK]."}      [{"score": 0.2, "token": 77, "token_str": "tea", "sequence": "…"}, …]
    {"text": "I drink tea."}           {"prediction": "I drink tea.", "log_likelihood": -9.1, …}

Source: huggingface_hub, ``InferenceClient.fill_mask``; transformers, ``FillMaskPipeline``.
Differs: what fills a gap stands in the text as it was sent, where transformers writes the text's tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import UNSET
from msgspec.structs import replace

from yanmo.serving.exchange import ENCODER
from yanmo.serving.problems import Problem
from yanmo.serving.requests import Limits, Request, decode_request
from yanmo.serving.schemas import Answer, FilledGap, FilledText, Parameters, PredictBody
from yanmo.text.gap_marks import marks_of

__all__ = ["decode_gaps", "encode_filled", "trim_filled"]

MOST = 5
"""Clients that do not say how many words they want are used to so many."""


def decode_gaps(body: bytes, limits: Limits) -> Request:
    """Return the request that a body holds.

    Args:
        body: JSON in UTF-8.
        limits: What it may hold.

    Raises:
        Problem: It breaks a rule; the problem says which.
    """
    request = decode_request(body, limits)
    if request.options.inputs is not UNSET:
        without = next((place for place, text in enumerate(request.texts) if not marks_of(str(text))), None)
        if without is not None:
            sentence = "Text {place} has no gap: write [MASK] or <mask> where one is."
            raise Problem("wrong_option", sentence, place=without)
    return request


def trim_filled(answers: Sequence[Answer], options: PredictBody) -> None:
    """Leave out of answers what was not asked for.

    Args:
        answers: To one request, changed in place.
        options: How many words of a gap are wanted; what is less probable than a threshold is no answer.
    """
    most = int(options.top_k) if isinstance(options.top_k, int | float) else MOST
    for answer in answers:
        if isinstance(answer.gaps, Sequence):
            answer.gaps = [replace(gap, words=gap.words[:most]) for gap in answer.gaps]
        if isinstance(options.threshold, int | float):
            answer.abstained = answer.probability < options.threshold
            answer.prediction = None if answer.abstained else answer.prediction


def encode_filled(answers: Sequence[Answer], request: Request) -> bytes:
    """Return the answers to inputs: a list of words for one gap, of several gaps a list of such lists."""
    options = request.options
    given = options.parameters.top_k if isinstance(options.parameters, Parameters) else options.top_k
    most = int(given) if isinstance(given, int | float) else MOST
    told = [_filled(answer, str(text), most) for answer, text in zip(answers, request.texts, strict=True)]
    return ENCODER.encode(told[0] if request.is_single else told)


def _filled(answer: Answer, text: str, most: int) -> Any:
    gaps: Sequence[FilledGap] = answer.gaps if isinstance(answer.gaps, Sequence) else ()
    told = [
        [FilledText(one.score, one.token, one.token_str, _put(text, gap, one.token_str)) for one in gap.words[:most]]
        for gap in gaps
    ]
    return told[0] if len(told) == 1 else told


def _put(text: str, gap: FilledGap, word: str) -> str:
    # Pieces that go on a word, and the space before one, are notes of the tokenizer.
    return text[: gap.start] + word.strip().removeprefix("##") + text[gap.end :]
