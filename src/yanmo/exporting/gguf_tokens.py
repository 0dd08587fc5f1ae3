"""A tokenizer in the form that llama.cpp reads: merged bytes as GPT-2's, or single characters; it knows no model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from yanmo.errors import ModelError
from yanmo.text.language_tokens import LanguageTokenizer

__all__ = ["GgufTokens", "gguf_tokens"]

NORMAL, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 3, 4, 5, 6
"""Kinds of tokens."""
SPACE = "▁"
"""What stands for a space where texts are cut into characters."""
SPLITTINGS = {
    r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+": "gpt-2",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+": (
        "qwen2"
    ),
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)"
    r"|\s+": "llama-bpe",
}
"""How a text is cut before bytes are merged, to what llama.cpp calls it."""


class GgufTokens(Struct, frozen=True):
    """A tokenizer.

    Attributes:
        model: What llama.cpp cuts with.
        splitting: How texts are cut before.
        texts: Every token, as llama.cpp writes it; as many as the network's table has.
        types: Of each its kind.
        scores: Of each, where these decide what is merged; else empty.
        merges: Pairs of tokens that become one, the first one first; else empty.
        begin_id: What stands before a text.
        end_id: What stands behind it.
    """

    model: str
    splitting: str
    texts: list[str]
    types: list[int]
    scores: list[float]
    merges: list[str]
    begin_id: int
    end_id: int


def gguf_tokens(tokenizer: LanguageTokenizer, *, num_embeddings: int, name: str) -> GgufTokens:
    """Return a tokenizer as llama.cpp reads it.

    Args:
        tokenizer: Of the model.
        num_embeddings: Rows of the network's table; tokens that the tokenizer does not have are unused.
        name: Of the model, for the message.

    Raises:
        ModelError: llama.cpp cuts texts in no such way.
    """
    content = json.loads(tokenizer.backend.to_str())
    texts = [tokenizer.backend.id_to_token(place) for place in range(num_embeddings)]
    special = {one["id"]: one["special"] for one in content["added_tokens"]}
    types = [
        UNUSED if text is None else (CONTROL if special[place] else USER_DEFINED) if place in special else NORMAL
        for place, text in enumerate(texts)
    ]
    written = [f"[PAD{place}]" if text is None else text for place, text in enumerate(texts)]
    if tokenizer.characters is not None:
        return _of_characters(tokenizer, written, types, name)
    merges = content["model"].get("merges") or []
    return GgufTokens(
        "gpt2",
        _splitting(content, name),
        written,
        types,
        [],
        [one if isinstance(one, str) else " ".join(one) for one in merges],
        tokenizer.end_id,
        tokenizer.end_id,
    )


def _of_characters(tokenizer: LanguageTokenizer, texts: list[str], types: list[int], name: str) -> GgufTokens:
    if SPACE in texts:
        raise ModelError(
            f"The vocabulary of {name} has the character {SPACE}, which stands for a space in a GGUF file.",
            hint="Train the model without that character in its texts.",
        )
    kinds = [BYTE if _is_byte(text) else kind for text, kind in zip(texts, types, strict=True)]
    written = [SPACE if text == " " else text for text in texts]
    ends = (tokenizer.end_id, tokenizer.end_id)
    return GgufTokens("llama", "default", written, kinds, [0.0] * len(texts), [], *ends)


def _is_byte(text: str) -> bool:
    return len(text) == len("<0x00>") and text.startswith("<0x")


def _splitting(content: Mapping[str, Any], name: str) -> str:
    """Return what llama.cpp calls the way in which texts are cut before bytes are merged.

    Raises:
        ModelError: It knows no such way.
    """
    steps = content.get("pre_tokenizer") or {}
    parts = steps.get("pretokenizers", [steps])
    bytes_last = bool(parts) and parts[-1].get("type") == "ByteLevel" and content["model"]["type"] == "BPE"
    patterns = [one["pattern"].get("Regex") for one in parts if one.get("type") == "Split"]
    if bytes_last and not patterns and parts[-1].get("use_regex", True) and not parts[-1].get("add_prefix_space"):
        return "gpt-2"
    found = SPLITTINGS.get(patterns[0] or "") if bytes_last and len(patterns) == 1 else None
    if found is None:
        raise ModelError(
            f"The tokenizer of {name} cuts texts in a way that a GGUF file has no name for here.",
            hint="Those of GPT-2, Llama 3, Qwen2 and Qwen3 can be written, and what train makes: "
            "--tokenization bytes or characters.",
        )
    return found
