"""The wire types of texts that are written; they know no rule, no model and no socket.

Source: the OpenAI API reference, "Completions", "Chat" and "Models"; text-generation-inference, ``router/src/lib.rs``
(GenerateRequest, GenerateResponse); vLLM, ``entrypoints/openai/protocol.py`` (top_k and those after it).
Differs: keys that nothing is done with are refused.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

__all__ = [
    "ChatAnswer",
    "ChatBody",
    "ChatChoice",
    "ChatLogprobs",
    "ChatMessage",
    "ChatToken",
    "CompletionAnswer",
    "CompletionBody",
    "CompletionChoice",
    "CompletionLogprobs",
    "GenerateBody",
    "GenerateParameters",
    "GeneratedText",
    "ResponseFormat",
    "SamplingBody",
    "ScoreBody",
    "StreamOptions",
    "TextScore",
    "TextScores",
    "Usage",
    "WritingErrorBody",
]

Tokens = Annotated[int, Meta(ge=1, le=1_000_000)]
TextPart = dict[str, Any]


class StreamOptions(msgspec.Struct, forbid_unknown_fields=True):
    """What a stream holds besides its text: include_usage adds a last event with the counts of tokens."""

    include_usage: bool | None = None


class ResponseFormat(msgspec.Struct, forbid_unknown_fields=True):
    """The form of the text: text, json_object, or json_schema with a schema under ``json_schema.schema``."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: dict[str, Any] | None = None


class SamplingBody(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """How texts are written; null is the same as leaving a key out.

    Attributes:
        model: The model's name; the first one that writes without it.
        temperature: Scores are divided by it; 0 always takes the likeliest token.
        top_p: Only the likeliest tokens that together have this probability.
        n: Texts for each prompt.
        stream: Whether the text is sent as it grows.
        stream_options: What else a stream holds.
        stop: Strings before which a text ends.
        presence_penalty: Taken from the scores of tokens that stand in the text.
        frequency_penalty: Taken from them for each time that they stand there.
        logit_bias: Token to what is added to its score.
        seed: Of what is drawn; without it each request has its own.
        user: Of the client; nothing is done with it.
        top_k: Only so many of the likeliest tokens; 0 and -1 are all.
        min_p: Only tokens with this share of the likeliest one's probability.
        repetition_penalty: Above 1, tokens of prompt and text become less likely.
        guided_json: The JSON schema of which the text is a value.
        guided_regex: An expression that matches the text.
        guided_choice: The texts of which it is one.
        response_format: The form of the text.
        truncate_prompt_tokens: Only so many tokens at the end of a prompt are read.
    """

    model: str | None = None
    temperature: Annotated[float, Meta(ge=0, le=100)] | None = None
    top_p: Annotated[float, Meta(gt=0, le=1)] | None = None
    n: Annotated[int, Meta(ge=1, le=128)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    stop: str | list[str] | None = None
    presence_penalty: Annotated[float, Meta(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[float, Meta(ge=-2, le=2)] | None = None
    logit_bias: dict[str, Annotated[float, Meta(ge=-100, le=100)]] | None = None
    seed: int | None = None
    user: str | None = None
    top_k: Annotated[int, Meta(ge=-1, le=1_000_000)] | None = None
    min_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    repetition_penalty: Annotated[float, Meta(gt=0, le=10)] | None = None
    guided_json: dict[str, Any] | None = None
    guided_regex: str | None = None
    guided_choice: Annotated[list[str], Meta(min_length=1)] | None = None
    response_format: ResponseFormat | None = None
    truncate_prompt_tokens: Tokens | None = None


class CompletionBody(SamplingBody, kw_only=True):
    """What is asked of ``POST /v1/completions``.

    Attributes:
        prompt: One text, several, the tokens of one, or lists of the tokens of several; without it a text begins anew.
        max_tokens: The most tokens of a text; 0 only with echo.
        logprobs: For so many of the likeliest tokens of each place their log-likelihoods are told.
        echo: Whether the prompt is told before the text.
        best_of: As n.
        suffix: Must be left out.
    """

    prompt: str | list[str | int | list[int]] | None = None
    max_tokens: Annotated[int, Meta(ge=0, le=1_000_000)] | None = None
    logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    echo: bool | None = None
    best_of: int | None = None
    suffix: str | None = None


class ChatMessage(msgspec.Struct):
    """One message: its role and its text, or a list of parts of type text."""

    role: str
    content: str | list[TextPart] | None = None


class ChatBody(SamplingBody, kw_only=True):
    """What is asked of ``POST /v1/chat/completions``.

    Attributes:
        messages: The conversation.
        max_tokens: The most tokens of the answer.
        max_completion_tokens: The same.
        logprobs: Whether the log-likelihoods of the tokens are told.
        top_logprobs: And those of so many of the likeliest tokens of each place.
    """

    messages: Annotated[list[ChatMessage], Meta(min_length=1)]
    max_tokens: Tokens | None = None
    max_completion_tokens: Tokens | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None


class GenerateParameters(msgspec.Struct, forbid_unknown_fields=True):
    """How a text is written, as text-generation-inference calls it."""

    max_new_tokens: Tokens | None = None
    do_sample: bool | None = None
    temperature: Annotated[float, Meta(gt=0, le=100)] | None = None
    top_k: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    top_p: Annotated[float, Meta(gt=0, le=1)] | None = None
    repetition_penalty: Annotated[float, Meta(gt=0, le=10)] | None = None
    frequency_penalty: Annotated[float, Meta(ge=-2, le=2)] | None = None
    seed: int | None = None
    stop: list[str] | None = None
    truncate: Tokens | None = None
    return_full_text: bool | None = None


class GenerateBody(msgspec.Struct, forbid_unknown_fields=True):
    """What is asked of ``POST /generate``: a prompt, and how it is continued."""

    inputs: str
    parameters: GenerateParameters | None = None


class ScoreBody(msgspec.Struct, forbid_unknown_fields=True):
    """What is asked of ``POST /score``: texts, and the model's name."""

    texts: Annotated[list[str], Meta(min_length=1)]
    model: str | None = None


class Usage(msgspec.Struct, frozen=True):
    """How many tokens were read and written."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class CompletionLogprobs(msgspec.Struct, frozen=True):
    """What is known of the tokens of a text, place by place."""

    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None]
    text_offset: list[int]


class CompletionChoice(msgspec.Struct, frozen=True):
    """One text, or what it has grown by."""

    text: str
    index: int
    logprobs: CompletionLogprobs | None
    finish_reason: str | None


class CompletionAnswer(msgspec.Struct, frozen=True):
    """The answer to ``POST /v1/completions``, or one event of its stream."""

    id: str
    object: str
    created: int
    model: str
    choices: list[CompletionChoice]
    usage: Usage | None = None


class ChatToken(msgspec.Struct, frozen=True):
    """One token of an answer, and those that would have been as likely."""

    token: str
    logprob: float
    bytes: list[int]
    top_logprobs: list[ChatToken] = []


class ChatLogprobs(msgspec.Struct, frozen=True):
    """What is known of the tokens of an answer."""

    content: list[ChatToken]


class ChatChoice(msgspec.Struct, frozen=True, omit_defaults=True):
    """One answer, or what it has grown by."""

    index: int
    finish_reason: str | None
    message: dict[str, str | None] | None = None
    delta: dict[str, str] | None = None
    logprobs: ChatLogprobs | None = None


class ChatAnswer(msgspec.Struct, frozen=True):
    """The answer to ``POST /v1/chat/completions``, or one event of its stream."""

    id: str
    object: str
    created: int
    model: str
    choices: list[ChatChoice]
    usage: Usage | None = None


class GeneratedText(msgspec.Struct, frozen=True):
    """The answer to ``POST /generate``."""

    generated_text: str


class TextScore(msgspec.Struct, frozen=True):
    """How likely a text is, from its beginning on.

    Attributes:
        log_likelihood: In nats.
        num_tokens: Its tokens.
        bits_per_character: None of an empty text.
    """

    log_likelihood: float
    num_tokens: int
    bits_per_character: float | None


class TextScores(msgspec.Struct, frozen=True):
    """The answer to ``POST /score``."""

    scores: list[TextScore]
    model: str
    digest: str


class WritingErrorBody(msgspec.Struct, frozen=True):
    """A problem as OpenAI's clients read it: message, type, param and code."""

    error: dict[str, str | None]
