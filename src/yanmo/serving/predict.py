"""``POST /predict``: bytes → msgspec → queue → bytes; it knows no socket and no way a model computes."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence

from msgspec import UNSET

from yanmo.serving.answering import BatchAnswer
from yanmo.serving.batcher import DeadlineError, QueueFullError, TooLargeError, WorkerLostError
from yanmo.serving.embedding import decode_vectors
from yanmo.serving.exchange import ENCODER, JSON, ClientGoneError, Reply, RouteCall
from yanmo.serving.gaps import decode_gaps, trim_filled
from yanmo.serving.model import Model
from yanmo.serving.problems import Problem
from yanmo.serving.questions import decode_question, trim_answers
from yanmo.serving.queued import QueuedRequest
from yanmo.serving.requests import Limits, Request, decode_request
from yanmo.serving.schemas import Answer, Answers, PredictBody, Text
from yanmo.serving.scores import encode_scores
from yanmo.serving.writing.answer_stream import begin_stream, check_streamed
from yanmo.serving.written import trim_written
from yanmo.tasks.deciding import decide_again, most_probable
from yanmo.translations import Phrase

__all__ = ["ask_model", "check_read", "decode_asked", "encode_answers", "predict", "queue_full"]

DECODERS: Mapping[str, Callable[[bytes, Limits], Request]] = {
    "gaps": decode_gaps,
    "passages": decode_question,
    "vectors": decode_vectors,
}
"""What a model decides about to what reads its requests, where these have words of their own."""
JSON_HEADER = (b"content-type", JSON)


async def predict(call: RouteCall) -> Reply:
    """Answer one text or many.

    Raises:
        Problem: The request breaks a rule, or cannot be answered now.
        ClientGoneError: Nobody waits for the answer any more.
    """
    return await ask_model(call, await call.read_json(call.service.config.max_body_bytes), decode_asked)


def decode_asked(body: bytes, limits: Limits) -> Request:
    """Return the request that a body holds, in the words of what the model decides about.

    Raises:
        Problem: It breaks a rule; the problem says which.
    """
    return DECODERS.get(limits.head, decode_request)(body, limits)


async def ask_model(call: RouteCall, body: bytes, decode: Callable[[bytes, Limits], Request]) -> Reply:
    """Return the answer to what a body asks.

    Args:
        call: The request.
        body: Its body.
        decode: Reads the body; the request that it returns may say in which form it is answered.

    Raises:
        Problem: The request breaks a rule, or cannot be answered now.
        ClientGoneError: Nobody waits for the answer any more.
    """
    service = call.service
    service.check_loaded()
    model = service.find(call.name, call.version)
    deadline_seconds = call.deadline_seconds(service.config.deadline_seconds)
    try:
        # Before the body is decoded: where the queue is full, a refusal must cost next to nothing.
        model.batcher.check_room()
        request = decode(body, model.limits)
        if request.options.stream is True:
            check_streamed(request, model)
        parts = model.split(request.texts)
        job = model.put(parts[0])
    except QueueFullError as error:
        raise queue_full(error.retry_seconds) from None
    except TooLargeError:
        raise Problem(
            "too_much_text", "At most {number} characters are allowed.", number=service.config.max_queue_tokens
        ) from None
    if request.options.stream is True:
        return await begin_stream(job, _wait(call, job, deadline_seconds), model, request.options)
    answers, jobs = await _wait(call, job, deadline_seconds), [job]
    if len(parts) > 1:
        answers = await _go_on(call, model, parts, jobs, answers, deadline=job.arrived + deadline_seconds)
    reply: Reply = (request.encode or _encode)(answers, request, model, jobs[-1].outcome.digest)
    reply.headers.append((b"server-timing", _timing(jobs)))
    return reply


async def _go_on(
    call: RouteCall,
    model: Model,
    parts: Sequence[Sequence[Text]],
    jobs: list[QueuedRequest[Text]],
    answers: list[Answer],
    *,
    deadline: float,
) -> list[Answer]:
    """Return the answers to all parts of a request; between two parts others have their turn.

    All answers are one Bundle's: where another one came meanwhile, everything is asked again.

    Args:
        call: The request.
        model: Who answers; what it has accepted it does not refuse later.
        parts: The texts.
        jobs: Of the first part, which is answered; the others are added.
        answers: To the first part.
        deadline: In the event loop's seconds.
    """
    place = 1
    while place < len(parts):
        connection = call.connection
        # Between two parts no job is there to be given up, so a client that has left is noticed here.
        if connection.transport.is_closing():
            raise ClientGoneError
        job = model.put(parts[place], force=True)
        found = await _wait(call, job, deadline - connection.loop.time())
        place, answers = place + 1, answers + found
        if job.outcome.digest != jobs[-1].outcome.digest:
            place, answers = 0, []
        # Also one whose answers are thrown away: the time that it took is told.
        jobs.append(job)
    return answers


async def _wait(call: RouteCall, job: QueuedRequest[Text], deadline_seconds: float) -> list[Answer]:
    """Return the answers; give up when the deadline passes or the client goes."""
    connection = call.connection
    # The job itself is given up, not this coroutine: it leaves the queue and costs the model nothing.
    timer = connection.loop.call_later(deadline_seconds, _expire, job)
    connection.on_gone = functools.partial(job.give_up, ClientGoneError())
    try:
        answers: list[Answer] = await job.future
    except DeadlineError:
        raise Problem("deadline_exceeded", "Ask for less, or allow more time.") from None
    except WorkerLostError:
        raise Problem("worker_lost", "Send the request again.", headers={"retry-after": "1"}) from None
    finally:
        timer.cancel()
        connection.on_gone = None
    return answers


def _expire(job: QueuedRequest[Text]) -> None:
    job.give_up(DeadlineError())


def _encode(answers: list[Answer], request: Request, model: Model, digest: str) -> Reply:
    return Reply(encode_answers(answers, request, model, digest), [JSON_HEADER])


def encode_answers(answers: list[Answer], request: Request, model: Model, digest: str) -> bytes:
    """Return the body of an answer in the service's own form, or as scores where inputs were asked.

    Raises:
        Problem: The model did not read a text to its end, and that was not to be.
    """
    options = request.options
    if options.truncate is False:
        check_read(answers, "'truncate' is false")
    if options.truncation_direction in ("Left", "left"):
        check_read(answers, "a text is only ever cut at its right end")
    if options.inputs is not UNSET:
        return encode_scores(answers, request, task=model.task)
    # Answers belong to one request alone, so they are changed in place.
    if answers[0].candidates is not UNSET:
        trim_written(answers, options)
    elif answers[0].gaps is not UNSET:
        trim_filled(answers, options)
    elif options.threshold is not UNSET or options.top_k is not UNSET or options.return_probabilities is False:
        for answer in answers:
            _trim(answer, options, model)
    if not request.is_single:
        return ENCODER.encode(Answers(answers, model.name, digest))
    one = answers[0]
    one.model, one.digest = model.name, digest
    return ENCODER.encode(one)


def check_read(answers: Sequence[Answer], reason: str) -> None:
    """Refuse to answer where the model did not read a text to its end.

    Raises:
        Problem: As said, and for which reason.
    """
    place = next((place for place, answer in enumerate(answers) if answer.truncated), None)
    if place is not None:
        sentence = "The model does not read all of text {place}, and {reason}."
        raise Problem("text_too_long", sentence, place=place, reason=Phrase(reason))


def _trim(answer: Answer, options: PredictBody, model: Model) -> None:
    """Leave out of an answer what was not asked for."""
    if answer.answers is not UNSET:
        trim_answers(answer, options)
        return
    probabilities, threshold = answer.probabilities, options.threshold
    if answer.entities is not UNSET and isinstance(threshold, float | int):
        answer.entities = [one for one in answer.entities if one.score >= threshold]
        answer.prediction = tuple([one.entity_group for one in answer.entities])
    if not isinstance(probabilities, Mapping):
        return
    if isinstance(threshold, float | int):
        abstained = None if answer.abstained is UNSET else bool(answer.abstained)
        decided = decide_again(model.task, probabilities, threshold=threshold, abstained=abstained)
        answer.prediction, answer.probability = decided.predictions[0], float(decided.probability_N[0])
        # With one label a row the answer then says either way; with many, no label at all is an answer.
        if decided.silent_N is not None:
            answer.abstained = bool(decided.silent_N[0])
    if options.return_probabilities is False:
        answer.probabilities = UNSET
    elif isinstance(options.top_k, int):
        answer.probabilities = dict(most_probable(probabilities, top_k=options.top_k))


def _timing(jobs: Sequence[QueuedRequest[Text]]) -> bytes:
    queue = encode = score = 0.0
    for job in jobs:
        batch: BatchAnswer = job.outcome
        queue += job.begun - job.arrived
        encode += batch.encode_seconds
        score += batch.score_seconds
    return b"queue;dur=%.2f, tokenize;dur=%.2f, inference;dur=%.2f" % (queue * 1e3, encode * 1e3, score * 1e3)


def queue_full(retry_seconds: int) -> Problem:
    """Return the refusal of a request to a model whose queue is full."""
    return Problem("queue_full", "Send the request again later.", headers={"retry-after": str(retry_seconds)})
