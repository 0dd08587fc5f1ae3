"""The answer to ``{"inputs": …}``: labels with scores, as the clients of others read them; it knows no model.

Source: text-embeddings-inference, ``router/src/http/types.rs`` (PredictRequest, PredictResponse) and ``server.rs``;
huggingface_hub, ``InferenceClient.text_classification``.
Differs: a flat list of several texts is a batch where the model reads one text at a time; problems are RFC 9457.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from msgspec import UNSET, UnsetType

from yanmo.answers.links import SIGMOID, SOFTMAX, Link
from yanmo.protocols import Task
from yanmo.serving.exchange import ENCODER
from yanmo.serving.gaps import encode_filled
from yanmo.serving.requests import Request
from yanmo.serving.schemas import Answer, LabelScore, Parameters
from yanmo.serving.written import encode_written
from yanmo.tasks.deciding import most_probable
from yanmo.tasks.labels import label_task

__all__ = ["encode_scores"]

FUNCTIONS: dict[str, Link] = {link.name: link for link in (SOFTMAX, SIGMOID)}
SMALLEST = 2.0**-149
"""The smallest number of float32 above 0: a probability that was rounded to 0 is at most this."""
EPSILON = 2.0**-24
"""A probability that was rounded to 1 is at most this much below it."""


def encode_scores(answers: Sequence[Answer], request: Request, *, task: Task[Any]) -> bytes:
    """Return the body of the answer: one list of scores for one text, else a list of such lists.

    Args:
        answers: What the model says about each text.
        request: What was asked, and with which options.
        task: What the model answers.
    """
    options = request.options
    parameters = options.parameters
    if any(answer.vector is not UNSET for answer in answers):
        return ENCODER.encode([answer.vector for answer in answers])
    if any(answer.entities is not UNSET for answer in answers):
        return _encode_entities(answers, request)
    if answers[0].candidates is not UNSET:
        return encode_written(answers)
    if answers[0].gaps is not UNSET:
        return encode_filled(answers, request)
    link = label_task(task, "A list of scores").link
    # The Hugging Face client always sends parameters and always reads a list of lists; who leaves them out reads what
    # text-embeddings-inference answers.
    if isinstance(parameters, Parameters):
        function, top_k, is_nested = parameters.function_to_apply or UNSET, parameters.top_k, True
    else:
        function = "none" if options.raw_scores is True else UNSET
        top_k, is_nested = options.top_k, not request.is_single
    threshold = options.threshold if isinstance(options.threshold, float | int) else 0.0
    ranked = [_rank(answer, link, function, top_k, threshold) for answer in answers]
    return ENCODER.encode(ranked if is_nested else ranked[0])


def _encode_entities(answers: Sequence[Answer], request: Request) -> bytes:
    """Return the body of an answer about parts of texts: a list for one text, else a list of such lists."""
    parameters, threshold = request.options.parameters, request.options.threshold
    ignored = (parameters.ignore_labels or ()) if isinstance(parameters, Parameters) else ()
    least = threshold if isinstance(threshold, float | int) else 0.0
    told = [
        [one for one in answer.entities or () if one.score >= least and one.entity_group not in ignored]
        for answer in answers
    ]
    return ENCODER.encode(told[0] if request.is_single else told)


def _rank(
    answer: Answer, link: Link, function: str | UnsetType, top_k: float | UnsetType | None, threshold: float
) -> list[LabelScore]:
    """Return the labels that were asked for, the most probable first."""
    if not isinstance(answer.probabilities, Mapping):
        return []
    most = top_k if isinstance(top_k, int) else None
    best = most_probable(answer.probabilities, top_k=most, threshold=threshold)
    told = answer.probabilities if function is UNSET else _apply(function, answer.probabilities, link)
    return [LabelScore(told[label], label) for label, _ in best]


def _apply(function: str, probabilities: Mapping[str, float], link: Link) -> Mapping[str, float]:
    """Return what a function makes of the scores behind probabilities.

    Args:
        function: none, softmax or sigmoid.
        probabilities: By label.
        link: From scores to these probabilities; its own function gives them back.
    """
    if function == link.name:
        return probabilities
    to_score = _log if link.excludes else _log_odds
    scores = {label: to_score(share) for label, share in probabilities.items()}
    if function == "none":
        return scores
    # Scores of labels that exclude each other are known up to a constant; a sigmoid takes those whose mean is 0.
    middle = sum(scores.values()) / len(scores) if link.excludes else 0.0
    values = np.array([[score - middle for score in scores.values()]], dtype=np.float32)
    return dict(zip(scores, FUNCTIONS[function].activate(values)[0].tolist(), strict=True))


def _log(share: float) -> float:
    """Return the score of a softmax, up to a constant of its text."""
    return math.log(max(share, SMALLEST))


def _log_odds(share: float) -> float:
    """Return the score of a sigmoid."""
    return _log(share) - math.log(max(1 - share, EPSILON))
