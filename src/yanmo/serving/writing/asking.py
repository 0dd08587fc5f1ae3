"""From a body to what is asked of the engine: prompts, wishes; it knows no socket."""

from __future__ import annotations

import functools
import secrets
from collections.abc import AsyncIterator, Sequence
from typing import TypeVar

import msgspec

from yanmo.errors import ConfigError, MissingExtraError
from yanmo.runtimes.generating.constraints import Grammar
from yanmo.runtimes.generating.decoding import Decoding
from yanmo.serving.exchange import ClientGoneError, RouteCall
from yanmo.serving.problems import Problem
from yanmo.serving.writing.engine import AskedText, Piece, Ticket
from yanmo.serving.writing.model import WritingModel
from yanmo.serving.writing.schemas import SamplingBody

__all__ = ["ReadPrompt", "begin_texts", "read_pieces", "read_prompt", "wish"]

MAX_STOPS = 16
ANY_JSON = {"type": "object"}


class ReadPrompt(msgspec.Struct, frozen=True):
    """What stands before a text.

    Attributes:
        text: As the client has it, or as its tokens read.
        ids: Its tokens, perhaps with the one that begins every text.
        num_begin: How many of these are none of the client's: 1 or 0.
    """

    text: str
    ids: list[int]
    num_begin: int


def read_prompt(model: WritingModel, prompt: str | Sequence[int], truncate: int | None) -> ReadPrompt:
    """Return a prompt that the model can read.

    Args:
        model: Who reads it.
        prompt: A text, or tokens.
        truncate: Only so many tokens at its end are read.

    Raises:
        Problem: It is too long, or has tokens that there are not.
    """
    writer = model.writer
    if isinstance(prompt, str) and len(prompt) > model.config.max_characters:
        raise Problem("text_too_long", "At most {number} characters are allowed.", number=model.config.max_characters)
    ids, size = writer.tokens(prompt), writer.session.vocabulary_size
    if not all(0 <= token < size for token in ids):
        raise Problem("wrong_type", "The tokens of a prompt are from 0 to {last}.", last=size - 1)
    # The text needs a place behind it.
    limit = writer.max_length - 1
    if truncate is not None:
        ids = ids[-min(truncate, limit) :]
    if len(ids) > limit:
        raise Problem(
            "prompt_too_long",
            "It has {length} tokens, and the model reads {most} before a text; 'truncate_prompt_tokens' reads its end "
            "alone.",
            length=len(ids),
            most=limit,
        )
    has_begin = ids[0] == writer.settings.begin_id and (isinstance(prompt, str) or not prompt)
    text = (
        prompt if isinstance(prompt, str) else writer.tokenizer.backend.decode(list(prompt), skip_special_tokens=False)
    )
    return ReadPrompt(text, ids, int(has_begin))


def wish(body: SamplingBody, model: WritingModel, *, num_top: int) -> tuple[Decoding, tuple[str, ...], Grammar | None]:
    """Return how texts are written, but for their length: wishes, stop strings, and the form.

    Raises:
        Problem: Something is wrong with a value.
    """
    settings, size = model.writer.settings, model.writer.session.vocabulary_size
    given = body.logit_bias or {}
    bias = {int(token): value for token, value in given.items() if token.isdecimal() and len(token) < 9}
    if len(bias) < len(given) or any(token >= size for token in bias):
        raise Problem("wrong_type", "'logit_bias' must have tokens from 0 to {last} as its keys.", last=size - 1)
    decoding = Decoding(
        temperature=_or(body.temperature, 1.0),
        top_k=max(_or(body.top_k, 0), 0),
        top_p=_or(body.top_p, 1.0),
        min_p=_or(body.min_p, 0.0),
        repetition_penalty=_or(body.repetition_penalty, 1.0),
        presence_penalty=_or(body.presence_penalty, 0.0),
        frequency_penalty=_or(body.frequency_penalty, 0.0),
        bias=bias,
        end_ids=frozenset(settings.end_ids),
        seed=secrets.randbits(63) if body.seed is None else body.seed,
        num_top=num_top,
    )
    return decoding, _stops(body.stop), _grammar(body)


def begin_texts(
    model: WritingModel,
    prompts: Sequence[ReadPrompt],
    wishes: tuple[Decoding, tuple[str, ...], Grammar | None],
    *,
    num_texts: int,
    max_tokens: int | None,
    wants_prompt: bool = False,
) -> Ticket:
    """Begin the texts of a request: ``num_texts`` for each prompt, in their order.

    Args:
        model: Who writes.
        prompts: What stands before them.
        wishes: Of :func:`wish`.
        num_texts: For each prompt.
        max_tokens: The most tokens of each; None: as many as there is room for.
        wants_prompt: Whether the likelihoods of the prompts are told.

    Raises:
        Problem: There is too much to do.
    """
    decoding, stops, grammar = wishes
    asked = []
    for prompt in prompts:
        room = model.bundle.max_length - len(prompt.ids) + 1
        length = room if max_tokens is None else min(max_tokens, room)
        for number in range(num_texts):
            one = msgspec.structs.replace(decoding.of_text(number), max_new_tokens=length)
            asked.append(AskedText(prompt.ids, one, stops, grammar, wants_prompt))
    return model.begin(asked)


async def read_pieces(call: RouteCall, model: WritingModel, ticket: Ticket) -> AsyncIterator[Piece]:
    """Yield what the texts of a request grow by; they are given up when the client goes or their time is over.

    Raises:
        Problem: They are not whole in time, or cannot be written.
        ClientGoneError: Nobody waits for them any more.
    """
    connection = call.connection
    connection.on_gone = functools.partial(model.give_up, ticket, ClientGoneError())
    seconds = call.deadline_seconds(model.config.writing_seconds)
    try:
        async for piece in model.pieces(ticket, deadline_seconds=seconds):
            if piece.ending == "blocked":
                raise Problem("wrong_grammar", "The model's tokens cannot write it.")
            yield piece
    except MissingExtraError:
        raise Problem("wrong_option", "This service is installed without what gives texts a form.") from None
    except ConfigError:
        raise Problem("wrong_grammar", "Give a schema, an expression or choices that some text meets.") from None
    finally:
        connection.on_gone = None


ValueT = TypeVar("ValueT")


def _or(value: ValueT | None, default: ValueT) -> ValueT:
    return default if value is None else value


def _stops(stop: str | list[str] | None) -> tuple[str, ...]:
    stops = (stop,) if isinstance(stop, str) else tuple(stop or ())
    if len(stops) > MAX_STOPS:
        raise Problem("wrong_type", "'stop' must have at most {most} strings.", most=MAX_STOPS)
    return stops


def _grammar(body: SamplingBody) -> Grammar | None:
    form = body.response_format
    schema = body.guided_json
    if form is not None and form.type == "json_object":
        schema = ANY_JSON
    elif form is not None and form.type == "json_schema":
        schema = (form.json_schema or {}).get("schema")
        if not isinstance(schema, dict):
            raise Problem("wrong_type", "'response_format' must hold a schema under 'json_schema' and 'schema'.")
    given = [one for one in (schema, body.guided_regex, body.guided_choice) if one is not None]
    if len(given) > 1:
        raise Problem("wrong_option", "Give one of a schema, 'guided_regex' and 'guided_choice'.")
    if not given:
        return None
    return Grammar(schema=schema, regex=body.guided_regex, choice=body.guided_choice)
