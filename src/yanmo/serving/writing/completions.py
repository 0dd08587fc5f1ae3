"""``POST /v1/completions`` as OpenAI's clients ask it: texts for prompts, whole or as they grow; it knows no engine."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Sequence
from typing import TypeVar

from msgspec import Struct

from yanmo.serving.bodies import decode_body
from yanmo.serving.exchange import Reply, RouteCall, json_reply
from yanmo.serving.problems import Problem
from yanmo.serving.requests import TOO_MANY
from yanmo.serving.writing.asking import ReadPrompt, begin_texts, read_pieces, read_prompt, wish
from yanmo.serving.writing.engine import Piece
from yanmo.serving.writing.events import DONE, StreamReply, encode_event
from yanmo.serving.writing.model import WritingModel
from yanmo.serving.writing.schemas import (
    CompletionAnswer,
    CompletionBody,
    CompletionChoice,
    CompletionLogprobs,
    Usage,
)
from yanmo.serving.writing.token_names import TokenNames

__all__ = ["KIND", "AnswerIdentity", "completions", "first_and_rest"]

MAX_TOKENS = 16
"""What OpenAI writes where nothing is said."""
KIND = "text_completion"
PieceT = TypeVar("PieceT")


class AnswerIdentity(Struct, frozen=True):
    """What all events of one answer have in common.

    Attributes:
        id: Of the answer.
        created: In seconds since 1970.
        model: The model's name.
    """

    id: str
    created: int
    model: str

    @classmethod
    def of(cls, prefix: str, model: str) -> AnswerIdentity:
        """Return those of a new answer of a model."""
        return cls(f"{prefix}-{secrets.token_hex(12)}", int(time.time()), model)


class _Job(Struct, frozen=True):
    """A request that was understood."""

    told: AnswerIdentity
    prompts: list[ReadPrompt]
    num_texts: int
    num_top: int | None
    is_echoed: bool
    names: TokenNames

    def choice(self, piece: Piece, *, offset: int = 0) -> CompletionChoice:
        """Return what a text has grown by.

        Args:
            piece: Since the last one.
            offset: How many characters were told before it.
        """
        logprobs = None if self.num_top is None else self._logprobs(piece, offset)
        return CompletionChoice(piece.text, piece.number, logprobs, piece.ending)

    def echo(self, piece: Piece) -> tuple[str, CompletionLogprobs | None]:
        """Return the prompt of a text, and what is known of its tokens.

        Args:
            piece: The text's last one.
        """
        prompt = self.prompts[piece.number // self.num_texts]
        if self.num_top is None or piece.row is None:
            return prompt.text, None
        ids, row = prompt.ids[prompt.num_begin :], piece.row
        # Nothing is known of a text's first token, unless one that is none of the text stands before it.
        nothing: list[None] = [] if prompt.num_begin else [None]
        values = [*nothing, *row.prompt_likelihoods]
        tops: list[dict[str, float] | None] = [*nothing, *map(self._named, row.prompt_best)]
        tops = tops if row.prompt_best else [None] * len(values)
        names = self.names.of(ids)
        offsets = _offsets(names, len(prompt.text))
        return prompt.text, CompletionLogprobs(names, values[: len(ids)], tops[: len(ids)], offsets)

    def _logprobs(self, piece: Piece, offset: int) -> CompletionLogprobs:
        tops: list[dict[str, float] | None] = [self._named(one) for one in piece.best]
        tops = tops or [None] * len(piece.ids)
        names = self.names.of(piece.ids)
        return CompletionLogprobs(names, list(piece.log_likelihoods), tops, [offset] * len(names))

    def _named(self, best: Sequence[tuple[int, float]]) -> dict[str, float]:
        return {self.names.name(token): value for token, value in best}


async def completions(call: RouteCall) -> Reply:
    """Write texts behind prompts.

    Raises:
        Problem: The request breaks a rule, or cannot be answered now.
        ClientGoneError: Nobody waits for the texts any more.
    """
    body = await decode_body(call, CompletionBody)
    call.service.check_loaded()
    model = call.service.find_writer(body.model)
    max_tokens = MAX_TOKENS if body.max_tokens is None else body.max_tokens
    num_texts = body.n or 1
    _check(body, max_tokens, num_texts)
    prompts = [read_prompt(model, one, body.truncate_prompt_tokens) for one in _prompts(body, model)]
    job = _Job(
        AnswerIdentity.of("cmpl", model.name),
        prompts,
        num_texts,
        body.logprobs,
        bool(body.echo),
        TokenNames(model.writer.tokenizer),
    )
    wishes = wish(body, model, num_top=body.logprobs or 0)
    wants_prompt = job.is_echoed and body.logprobs is not None
    ticket = begin_texts(model, prompts, wishes, num_texts=num_texts, max_tokens=max_tokens, wants_prompt=wants_prompt)
    pieces = await first_and_rest(read_pieces(call, model, ticket))
    if body.stream:
        has_usage = bool(body.stream_options and body.stream_options.include_usage)
        return StreamReply(_events(job, pieces, has_usage=has_usage))
    return json_reply(await _whole(job, pieces))


async def first_and_rest(pieces: AsyncIterator[PieceT]) -> AsyncIterator[PieceT]:
    """Return the same pieces once the first is there: what cannot be written at all is no stream, but a problem."""
    first = await anext(pieces)

    async def rest() -> AsyncIterator[PieceT]:
        yield first
        async for piece in pieces:
            yield piece

    return rest()


def _check(body: CompletionBody, max_tokens: int, num_texts: int) -> None:
    """Refuse keys that do not go together.

    Raises:
        Problem: As said.
    """
    if max_tokens == 0 and not body.echo:
        raise Problem("wrong_option", "'max_tokens' may be 0 only with 'echo': there is nothing to tell else.")
    if body.echo and body.stream:
        raise Problem("wrong_option", "Give 'echo' without 'stream'.")
    if body.best_of not in (None, num_texts) or body.suffix:
        raise Problem("wrong_option", "'best_of' must be as 'n', and 'suffix' left out.")
    if body.stream_options is not None and not body.stream:
        raise Problem("wrong_option", "Give 'stream_options' only with 'stream'.")


def _prompts(body: CompletionBody, model: WritingModel) -> list[str | list[int]]:
    """Return the prompts one by one."""
    given, limit = body.prompt, model.config.max_texts
    if given is None or isinstance(given, str):
        return [given or ""]
    tokens = [one for one in given if isinstance(one, int)]
    if tokens and len(tokens) == len(given):
        return [tokens]
    rows = [one for one in given if not isinstance(one, int)]
    if tokens or not rows or len({type(one) for one in rows}) > 1:
        raise Problem("wrong_type", "'prompt' must be a text, texts, the tokens of a text, or lists of such.")
    if len(rows) > limit:
        raise Problem("too_many_texts", TOO_MANY, key="prompt", most=limit, got=len(rows))
    return rows


async def _whole(job: _Job, pieces: AsyncIterator[Piece]) -> CompletionAnswer:
    """Return the answer when all texts are whole."""
    parts: list[list[CompletionChoice]] = [[] for _ in range(len(job.prompts) * job.num_texts)]
    sizes = [0] * len(parts)
    echoes: dict[int, tuple[str, CompletionLogprobs | None]] = {}
    num_written = 0
    async for piece in pieces:
        before = len(job.prompts[piece.number // job.num_texts].text) if job.is_echoed else 0
        parts[piece.number].append(job.choice(piece, offset=before + sizes[piece.number]))
        sizes[piece.number] = piece.end
        num_written += len(piece.ids)
        if piece.ending is not None and job.is_echoed:
            echoes[piece.number] = job.echo(piece)
    choices = [_joined(found, echoes.get(number, ("", None))) for number, found in enumerate(parts)]
    told = job.told
    return CompletionAnswer(told.id, KIND, told.created, told.model, choices, _usage(job, num_written))


def _joined(parts: Sequence[CompletionChoice], echo: tuple[str, CompletionLogprobs | None]) -> CompletionChoice:
    text = echo[0] + "".join(one.text for one in parts)
    every = [one for one in (echo[1], *(part.logprobs for part in parts)) if one is not None]
    logprobs = None
    if every:
        logprobs = CompletionLogprobs(
            [name for one in every for name in one.tokens],
            [value for one in every for value in one.token_logprobs],
            [best for one in every for best in one.top_logprobs],
            [place for one in every for place in one.text_offset],
        )
    return CompletionChoice(text, parts[-1].index, logprobs, parts[-1].finish_reason)


async def _events(job: _Job, pieces: AsyncIterator[Piece], *, has_usage: bool) -> AsyncIterator[bytes]:
    """Yield the events of a stream."""
    told, num_written = job.told, 0
    sizes: dict[int, int] = {}
    async for piece in pieces:
        num_written += len(piece.ids)
        offset = sizes.get(piece.number, 0)
        sizes[piece.number] = piece.end
        # A part of a character is nothing to be told, unless its token is.
        if piece.text or piece.ending is not None or job.num_top is not None:
            choice = job.choice(piece, offset=offset)
            yield encode_event(CompletionAnswer(told.id, KIND, told.created, told.model, [choice]))
    if has_usage:
        usage = _usage(job, num_written)
        yield encode_event(CompletionAnswer(told.id, KIND, told.created, told.model, [], usage))
    yield DONE


def _usage(job: _Job, num_written: int) -> Usage:
    num_read = sum(len(prompt.ids) - prompt.num_begin for prompt in job.prompts)
    return Usage(num_read, num_written, num_read + num_written)


def _offsets(names: Sequence[str], size: int) -> list[int]:
    """Return where in a prompt its tokens stand, as far as their names tell."""
    found, place = [], 0
    for name in names:
        found.append(min(place, size))
        place += len(name)
    return found
