"""Questions about passages: the bodies that ask them, and the answers; it knows no model and no queue.

::

    {"question": "Who?", "context": "…"}       {"prediction": "Rosa", "answers": [{"answer": "Rosa", …}], …}
    {"question": "Who?", "contexts": ["…"]}    the same of the context whose answer is surest, and which one that is
    {"question": "Who?"}                       the same of the service's documents, with the passage that has the answer
    {"inputs": {"question": …, "context": …}}  {"answer": "Rosa", "score": 0.9, "start": 0, "end": 4}

``inputs`` is asked and answered as by the Hugging Face client: one answer, or a list where more than one is asked for.
Whatever else a body holds is read as that of any pair, the passage first.

Source: huggingface_hub, ``InferenceClient.question_answering`` and its types.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType
from msgspec.structs import replace

from yanmo.runtimes.library import Library, Passage
from yanmo.serving.exchange import ENCODER, JSON, Reply
from yanmo.serving.problems import Problem
from yanmo.serving.requests import Limits, Request, check_column, check_unique_keys, decode_request, whole_count
from yanmo.serving.schemas import Answer, Count, FoundAnswer, FoundPassage, PredictBody

__all__ = ["AskedQuestion", "QuestionBody", "QuestionParameters", "decode_question", "trim_answers"]

JSON_HEADER = (b"content-type", JSON)
KEYS_DECODER = msgspec.json.Decoder(dict[str, msgspec.Raw])


class AskedQuestion(msgspec.Struct, forbid_unknown_fields=True):
    """A question and the passage that may answer it."""

    question: str
    context: str


class QuestionParameters(msgspec.Struct, forbid_unknown_fields=True):
    """The options of a Hugging Face client; null is the same as leaving one out.

    Attributes:
        top_k: So many answers at most, of which none overlaps another; with more than 1 the reply is a list.
        handle_impossible_answer: Whether "no answer", an empty text, is one of the answers.
        max_answer_len: Longer answers, in characters, are left out.
        align_to_words: Answers always begin and end with words.
        doc_stride: How windows overlap is the service's matter.
        max_question_len: As long as the model reads.
        max_seq_len: As long as the model reads.
    """

    top_k: Count | UnsetType | None = UNSET
    handle_impossible_answer: bool | UnsetType | None = UNSET
    max_answer_len: Annotated[int, Meta(ge=1)] | UnsetType | None = UNSET
    align_to_words: bool | UnsetType | None = UNSET
    doc_stride: int | UnsetType | None = UNSET
    max_question_len: int | UnsetType | None = UNSET
    max_seq_len: int | UnsetType | None = UNSET


class QuestionBody(msgspec.Struct, forbid_unknown_fields=True):
    """What is asked: a question with a context or several, or of the service's documents; or inputs.

    Attributes:
        question: The question.
        context: The passage that may answer it.
        contexts: Several passages, of which the one whose answer is surest counts.
        inputs: A question with its context, or a list of such.
        parameters: Only with inputs.
        top_k: So many answers at most, of which none overlaps another.
        threshold: An answer that is less probable is none.
        truncate: Whether a question may be longer than the model reads; by default it may, and the answer says so.
    """

    question: str | UnsetType = UNSET
    context: str | UnsetType = UNSET
    contexts: list[str] | UnsetType = UNSET
    inputs: AskedQuestion | list[AskedQuestion] | UnsetType = UNSET
    parameters: QuestionParameters | UnsetType = UNSET
    top_k: Count | UnsetType = UNSET
    threshold: Annotated[float, Meta(ge=0, le=1)] | UnsetType = UNSET
    truncate: bool | UnsetType = UNSET


DECODER = msgspec.json.Decoder(QuestionBody)


def decode_question(body: bytes, limits: Limits) -> Request:
    """Return the request that a body holds.

    Args:
        body: JSON in UTF-8.
        limits: What it may hold.

    Raises:
        Problem: It breaks a rule; the problem says which.
    """
    try:
        keys = KEYS_DECODER.decode(body)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return decode_request(body, limits)  # which says what is wrong
    if not keys.keys() & {"question", "context", "contexts", "inputs"}:
        return decode_request(body, limits)
    try:
        parsed = DECODER.decode(body)
    except (msgspec.DecodeError, ValueError, RecursionError):
        raise Problem("wrong_type", "The body must be as QuestionBody in /docs says.") from None
    check_unique_keys(body)
    parsed.top_k = whole_count(parsed.top_k)
    return _of_inputs(parsed, limits) if parsed.inputs is not UNSET else _of_question(parsed, limits)


def _of_inputs(parsed: QuestionBody, limits: Limits) -> Request:
    if not (parsed.question is parsed.context is parsed.contexts is parsed.top_k is parsed.threshold is UNSET):
        raise Problem("wrong_option", "Give 'inputs' alone, or with 'parameters'.")
    is_single = isinstance(parsed.inputs, AskedQuestion)
    rows: Sequence[Any] = [parsed.inputs] if is_single else parsed.inputs  # type: ignore[assignment]
    parameters = parsed.parameters if parsed.parameters is not UNSET else QuestionParameters()
    texts = _pairs([one.context for one in rows], [one.question for one in rows], limits, "inputs")
    encode = functools.partial(_encode_found, parameters=parameters)
    return Request(texts, is_single, PredictBody(), encode)


def _of_question(parsed: QuestionBody, limits: Limits) -> Request:
    options = PredictBody(top_k=parsed.top_k, threshold=parsed.threshold, truncate=parsed.truncate)
    if limits.library is not None and isinstance(parsed.question, str) and parsed.context is parsed.contexts is UNSET:
        return _of_documents(parsed.question, limits.library, options, limits)
    if parsed.question is UNSET or (parsed.context is UNSET) == (parsed.contexts is UNSET):
        raise Problem(
            "text_or_texts", "Give 'question' with either 'context', a string, or 'contexts', a list of strings."
        )
    if parsed.parameters is not UNSET:
        raise Problem("wrong_option", "Give 'parameters' only with 'inputs'.")
    is_single = parsed.contexts is UNSET
    contexts: list[str] = [parsed.context] if is_single else parsed.contexts  # type: ignore[list-item, assignment]
    texts = _pairs(contexts, [str(parsed.question)] * len(contexts), limits, "context" if is_single else "contexts")
    return Request(texts, is_single, options, None if is_single else _encode_best)


def _of_documents(question: str, library: Library, options: PredictBody, limits: Limits) -> Request:
    check_column([question], "question", limits)
    likely = library.likely(question)
    encode = functools.partial(_encode_best, passages=likely)
    return Request([(one.text, question) for one in likely], False, options, encode)


def _pairs(contexts: list[str], questions: list[str], limits: Limits, name: str) -> list[Any]:
    """Return what the model reads, the passage first."""
    return list(zip(check_column(contexts, name, limits), check_column(questions, "question", limits), strict=True))


def trim_answers(answer: Answer, options: PredictBody) -> None:
    """Leave out of an answer what was not asked for, and take back one that is less probable than was asked for."""
    found: Sequence[FoundAnswer] = answer.answers if answer.answers is not UNSET else ()
    if isinstance(options.threshold, float | int) and (not found or found[0].score < options.threshold):
        answer.prediction = None
    if isinstance(options.top_k, int):
        answer.answers = found[: options.top_k]


def _encode_best(
    answers: list[Answer], request: Request, model: Any, digest: str, *, passages: Sequence[Passage] = ()
) -> Reply:
    """Return the answer of the context that is surest, before all that have none; of documents with its passage."""
    for answer in answers:
        trim_answers(answer, request.options)
    sure = [(one.prediction is not None, one.answers[0].score if one.answers else 0.0) for one in answers]
    place = max(range(len(answers)), key=sure.__getitem__)
    best = replace(answers[place], model=model.name, digest=digest)
    if passages:
        one = passages[place]
        best.passage = FoundPassage(one.document, one.start, one.text)
    else:
        best.context = place
    return Reply(ENCODER.encode(best), [JSON_HEADER])


def _encode_found(
    answers: list[Answer],
    request: Request,
    model: Any,  # noqa: ARG001 - one signature
    digest: str,  # noqa: ARG001
    *,
    parameters: QuestionParameters,
) -> Reply:
    """Return the answers as the Hugging Face client reads them."""
    told = [_found(answer, parameters) for answer in answers]
    return Reply(ENCODER.encode(told[0] if request.is_single else told), [JSON_HEADER])


def _found(answer: Answer, parameters: QuestionParameters) -> Any:
    most = whole_count(parameters.top_k) if isinstance(parameters.top_k, int | float) else 1
    longest = parameters.max_answer_len if isinstance(parameters.max_answer_len, int) else None
    found = [one for one in answer.answers or () if longest is None or one.end - one.start <= longest]
    nothing = answer.probabilities["none"] if isinstance(answer.probabilities, dict) else 0.0
    # Without an answer at all the client still reads one.
    if parameters.handle_impossible_answer is True or not found:
        found = sorted([*found, FoundAnswer("", nothing, 0, 0)], key=lambda one: -one.score)
    return found[0] if most == 1 else found[: int(most)]
