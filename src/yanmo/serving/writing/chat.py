"""``POST /v1/chat/completions``: a conversation becomes a prompt by the model's own template; it knows no engine.

Source: Hugging Face, "Chat templates" (what a template is given).
"""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Sequence
from typing import Any, NoReturn

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment
from msgspec import Struct
from tokenizers import Tokenizer

from yanmo.serving.bodies import decode_body
from yanmo.serving.exchange import Reply, RouteCall, json_reply
from yanmo.serving.problems import Problem
from yanmo.serving.writing.asking import ReadPrompt, begin_texts, read_pieces, read_prompt, wish
from yanmo.serving.writing.completions import AnswerIdentity, first_and_rest
from yanmo.serving.writing.engine import Piece
from yanmo.serving.writing.events import DONE, StreamReply, encode_event
from yanmo.serving.writing.model import WritingModel
from yanmo.serving.writing.schemas import (
    ChatAnswer,
    ChatBody,
    ChatChoice,
    ChatLogprobs,
    ChatMessage,
    ChatToken,
    Usage,
)
from yanmo.serving.writing.token_names import TokenNames

__all__ = ["chat"]

WHOLE, PART = "chat.completion", "chat.completion.chunk"


class _Job(Struct, frozen=True):
    """A request that was understood."""

    told: AnswerIdentity
    prompt: ReadPrompt
    num_texts: int
    tells_tokens: bool
    names: TokenNames

    def logprobs(self, pieces: Sequence[Piece]) -> ChatLogprobs | None:
        """Return what is known of the tokens of some pieces, where that was asked."""
        if not self.tells_tokens:
            return None
        found = []
        for piece in pieces:
            best = [ChatToken(*self._told(token, value)) for one in piece.best for token, value in one]
            found += [
                ChatToken(*self._told(token, value), best)
                for token, value in zip(piece.ids, piece.log_likelihoods, strict=True)
            ]
        return ChatLogprobs(found)

    def usage(self, num_written: int) -> Usage:
        """Return the counts of tokens."""
        num_read = len(self.prompt.ids)
        return Usage(num_read, num_written, num_read + num_written)

    def event(self, choices: list[ChatChoice], usage: Usage | None = None) -> bytes:
        """Return one event of a stream."""
        told = self.told
        return encode_event(ChatAnswer(told.id, PART, told.created, told.model, choices, usage))

    def _told(self, token: int, value: float) -> tuple[str, float, list[int]]:
        name = self.names.name(token)
        return name, value, list(name.encode())


async def chat(call: RouteCall) -> Reply:
    """Write the next message of a conversation.

    Raises:
        Problem: The request breaks a rule, the model has no template, or it cannot be answered now.
        ClientGoneError: Nobody waits for the answer any more.
    """
    body = await decode_body(call, ChatBody)
    call.service.check_loaded()
    model = call.service.find_writer(body.model)
    if body.top_logprobs is not None and not body.logprobs:
        raise Problem("wrong_option", "Give 'top_logprobs' only with 'logprobs'.")
    if body.stream_options is not None and not body.stream:
        raise Problem("wrong_option", "Give 'stream_options' only with 'stream'.")
    prompt = read_prompt(model, _tokens(model, render_chat(model, body.messages)), body.truncate_prompt_tokens)
    num_texts = body.n or 1
    names = TokenNames(model.writer.tokenizer)
    job = _Job(AnswerIdentity.of("chatcmpl", model.name), prompt, num_texts, bool(body.logprobs), names)
    wishes = wish(body, model, num_top=body.top_logprobs or 0)
    limit = body.max_tokens if body.max_completion_tokens is None else body.max_completion_tokens
    ticket = begin_texts(model, [prompt], wishes, num_texts=num_texts, max_tokens=limit)
    pieces = await first_and_rest(read_pieces(call, model, ticket))
    if body.stream:
        has_usage = bool(body.stream_options and body.stream_options.include_usage)
        return StreamReply(_events(job, pieces, has_usage=has_usage))
    return json_reply(await _whole(job, pieces))


def render_chat(model: WritingModel, messages: Sequence[ChatMessage]) -> str:
    """Return a conversation as the prompt of the next message.

    Raises:
        Problem: The model has no template, or that refuses the conversation.
    """
    template = model.chat_template
    if template is None:
        raise Problem("wrong_model", "It has no chat template: ask POST /v1/completions.")
    writer = model.writer
    begin = writer.tokenizer.backend.id_to_token(writer.settings.begin_id)
    end = writer.tokenizer.backend.id_to_token(writer.settings.end_ids[-1])
    plain = [{"role": one.role, "content": _content(one)} for one in messages]
    try:
        return _template(template).render(
            messages=plain, add_generation_prompt=True, bos_token=begin, eos_token=end, tools=None
        )
    except jinja2.TemplateError:
        raise Problem("wrong_option", "The model's chat template refuses these messages.") from None


@functools.lru_cache(maxsize=8)
def _template(source: str) -> jinja2.Template:
    # A template is data from elsewhere: it may compute, and reach nothing.
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.globals["raise_exception"] = _refuse
    return environment.from_string(source)


def _refuse(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)


def _content(message: ChatMessage) -> str:
    """Return a message's text.

    Raises:
        Problem: A part of it is none.
    """
    if isinstance(message.content, str) or message.content is None:
        return message.content or ""
    texts: list[Any] = [part.get("text") if part.get("type") == "text" else None for part in message.content]
    if not all(isinstance(text, str) for text in texts):
        raise Problem("wrong_type", "'content' must be a text, or parts of type text.")
    return "".join(texts)


def _tokens(model: WritingModel, text: str) -> list[int]:
    """Return the tokens of a rendered template, of which those that mark messages are marks, and no text."""
    ids: list[int] = _marking(model.writer.tokenizer.backend.to_str()).encode(text, add_special_tokens=False).ids
    return ids


@functools.lru_cache(maxsize=8)
def _marking(content: str) -> Tokenizer:
    tokenizer = Tokenizer.from_str(content)
    tokenizer.encode_special_tokens = False
    return tokenizer


async def _whole(job: _Job, pieces: AsyncIterator[Piece]) -> ChatAnswer:
    """Return the answer when all texts are whole."""
    found: list[list[Piece]] = [[] for _ in range(job.num_texts)]
    async for piece in pieces:
        found[piece.number].append(piece)
    choices = [
        ChatChoice(
            number,
            parts[-1].ending,
            message={"role": "assistant", "content": "".join(part.text for part in parts)},
            logprobs=job.logprobs(parts),
        )
        for number, parts in enumerate(found)
    ]
    told, num_written = job.told, sum(len(piece.ids) for parts in found for piece in parts)
    return ChatAnswer(told.id, WHOLE, told.created, told.model, choices, job.usage(num_written))


async def _events(job: _Job, pieces: AsyncIterator[Piece], *, has_usage: bool) -> AsyncIterator[bytes]:
    """Yield the events of a stream."""
    num_written, begun = 0, set[int]()
    async for piece in pieces:
        num_written += len(piece.ids)
        delta = {} if piece.number in begun else {"role": "assistant"}
        begun.add(piece.number)
        if piece.text:
            delta["content"] = piece.text
        if delta or piece.ending is not None or job.tells_tokens:
            choice = ChatChoice(piece.number, piece.ending, delta=delta, logprobs=job.logprobs([piece]))
            yield job.event([choice])
    if has_usage:
        yield job.event([], job.usage(num_written))
    yield DONE
