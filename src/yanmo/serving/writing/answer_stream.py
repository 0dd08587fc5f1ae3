"""An answer that is sent while it is written, in the events of /v1/completions; it knows no model and no socket.

::

    {"text": "Thornham", "stream": true}    data: {…, "choices": [{"text": "TH", "index": 0, "finish_reason": null}]}
                                            …
                                            data: {…, "choices": [], "usage": {…}, "answer": {"prediction": …, …}}
                                            data: [DONE]

The texts of all choices are the answer, joined; the last event but one holds what ``POST /predict`` answers without
``stream``. A model that has nothing to tell before its answer is whole sends it in one piece.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from typing import Any

from msgspec import UNSET

from yanmo.answers.writings import Writings
from yanmo.serving.exchange import ClientGoneError, Reply
from yanmo.serving.model import Model
from yanmo.serving.problems import Problem
from yanmo.serving.queued import QueuedRequest
from yanmo.serving.requests import Request
from yanmo.serving.schemas import Answer, PredictBody, StreamedAnswer, Text
from yanmo.serving.writing.completions import KIND, AnswerIdentity, first_and_rest
from yanmo.serving.writing.events import DONE, StreamReply, encode_event
from yanmo.serving.writing.schemas import CompletionAnswer, CompletionChoice, Usage
from yanmo.serving.written import trim_written

__all__ = ["begin_stream", "check_streamed"]

STREAMED_KEYS = ("text", "stream", "top_k")


def check_streamed(request: Request, model: Model) -> None:
    """Refuse a request for a stream that there cannot be.

    Raises:
        Problem: The model tells no text before it is whole, or an option asks about whole answers.
    """
    if model.task.form is not Writings:
        raise Problem(
            "wrong_option", "Only models that write texts for others tell them as they grow: leave out 'stream'."
        )
    if not model.streams:
        raise Problem(
            "wrong_option", "The model searches by beams, which have no text before all is written: leave out 'stream'."
        )
    options = request.options
    given = [name for name in options.__struct_fields__ if getattr(options, name) is not UNSET]
    if not set(given) <= set(STREAMED_KEYS):
        raise Problem("wrong_option", "Give 'stream' with 'text', and with no other option than 'top_k'.")


async def begin_stream(
    job: QueuedRequest[Text], waiting: Coroutine[Any, Any, list[Answer]], model: Model, options: PredictBody
) -> Reply:
    """Return the answer to a request as a stream, once its first text is there.

    Args:
        job: The request, which has just been put into the queue.
        waiting: Gives its answers; it is over when nobody waits for them any more.
        model: Who answers.
        options: What was asked for.

    Raises:
        Problem: It cannot be answered.
        ClientGoneError: Nobody waits for the answer any more.
    """
    return StreamReply(await first_and_rest(_events(job, waiting, model, options)))


async def _events(
    job: QueuedRequest[Text], waiting: Coroutine[Any, Any, list[Answer]], model: Model, options: PredictBody
) -> AsyncIterator[bytes]:
    told, identity = "", AnswerIdentity.of("pred", model.name)
    texts: asyncio.Queue[str | None] = asyncio.Queue()
    job.on_grown = texts.put_nowait

    def end(done: asyncio.Future[list[Answer]]) -> None:
        # Looked at, since nobody may be there who waits for it.
        if not done.cancelled():
            done.exception()
        texts.put_nowait(None)

    answering = asyncio.ensure_future(waiting)
    answering.add_done_callback(end)
    try:
        while (text := await texts.get()) is not None:
            told += text
            yield _piece(identity, text, None)
        (answer,) = await answering
    finally:
        # Of an answer that is there nothing is given up.
        job.give_up(ClientGoneError())
    whole = answer.prediction if isinstance(answer.prediction, str) else ""
    if not whole.startswith(told):
        raise RuntimeError("what was written is not what was told of it")
    ending = answer.finish_reason if isinstance(answer.finish_reason, str) else None  # not all models know
    yield _piece(identity, whole[len(told) :], ending)
    trim_written([answer], options)
    num_read, num_written = int(answer.num_tokens or 0), int(answer.num_written_tokens or 0)
    answer.model, answer.digest = model.name, job.outcome.digest
    usage = Usage(num_read, num_written, num_read + num_written)
    yield encode_event(StreamedAnswer(identity.id, KIND, identity.created, identity.model, [], usage, answer))
    yield DONE


def _piece(identity: AnswerIdentity, text: str, ending: str | None) -> bytes:
    choice = CompletionChoice(text, 0, None, ending)
    return encode_event(CompletionAnswer(identity.id, KIND, identity.created, identity.model, [choice]))
