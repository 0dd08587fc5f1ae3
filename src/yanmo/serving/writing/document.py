"""What the document of the API says of the routes that write: bodies, answers, examples, problems."""

from __future__ import annotations

from typing import Any

from yanmo.serving.writing.schemas import (
    ChatAnswer,
    ChatBody,
    ChatChoice,
    ChatLogprobs,
    ChatMessage,
    ChatToken,
    CompletionAnswer,
    CompletionBody,
    CompletionChoice,
    CompletionLogprobs,
    GenerateBody,
    GeneratedText,
    GenerateParameters,
    ResponseFormat,
    ScoreBody,
    StreamOptions,
    TextScore,
    TextScores,
    Usage,
    WritingErrorBody,
)

__all__ = ["WRITING_ANSWERS", "WRITING_BODIES", "WRITING_EXAMPLES", "WRITING_PROBLEMS", "WRITING_TYPES"]

WRITING_BODIES: dict[str, list[type]] = {
    "completions": [CompletionBody],
    "chat": [ChatBody],
    "generate_text": [GenerateBody],
    "score_texts": [ScoreBody],
}
"""The name of what answers a route to what it may be asked."""
WRITING_ANSWERS: dict[str, list[Any]] = {
    "completions": [CompletionAnswer],
    "chat": [ChatAnswer],
    "generate_text": [GeneratedText],
    "score_texts": [TextScores],
}
WRITING_EXAMPLES: dict[str, dict[str, Any]] = {
    "completions": {
        "one text": {"prompt": "Once upon a time", "max_tokens": 32, "temperature": 0.8, "seed": 1},
        "as it grows": {"prompt": "从前", "max_tokens": 32, "stream": True},
    },
    "chat": {"one message": {"messages": [{"role": "user", "content": "Hello!"}], "max_tokens": 32}},
    "generate_text": {"one text": {"inputs": "Once upon a time", "parameters": {"max_new_tokens": 32}}},
    "score_texts": {"two texts": {"texts": ["The cat sat.", "Sat cat the."]}},
}
WRITING_TYPES: list[type] = [
    *(CompletionBody, CompletionAnswer, CompletionChoice, CompletionLogprobs, StreamOptions, ResponseFormat, Usage),
    *(ChatBody, ChatMessage, ChatAnswer, ChatChoice, ChatLogprobs, ChatToken, WritingErrorBody),
    *(GenerateBody, GenerateParameters, GeneratedText, ScoreBody, TextScore, TextScores),
]
WRITING_PROBLEMS = {
    *("invalid_json", "unknown_key", "duplicate_key", "wrong_option", "wrong_model", "wrong_grammar"),
    *("prompt_too_long", "too_many_texts", "text_too_long", "too_much_text", "queue_full", "deadline_exceeded"),
    *("not_found", "not_ready"),
}
