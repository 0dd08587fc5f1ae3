"""A tokenizer with fewer tokens: those that texts use and the special ones; it knows no model.

A text whose tokens are all kept is cut into the same ones as before: both kinds of tokenizer take the longest token
that fits, and leaving out others makes none fit that did not.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from yanmo.arrays import IntArray
from yanmo.errors import ConfigError

__all__ = ["cut_tokenizer", "used_tokens"]

MODELS = ("WordPiece", "WordLevel")


def used_tokens(tokenizer: Tokenizer, columns: Iterable[Sequence[str]], *, min_count: int) -> IntArray:
    """Return the ids of the tokens that occur often enough in texts, and of all special ones, in their order.

    Args:
        tokenizer: Any.
        columns: Cleaned texts.
        min_count: At least 1.
    """
    vocab = tokenizer.get_vocab()
    counts_V = np.zeros(max(vocab.values()) + 1, dtype=np.int64)
    for texts in columns:
        for encoding in tokenizer.encode_batch_fast(list(texts), add_special_tokens=False):
            # An id may stand several times in one text; plain indexing would count it once.
            np.add.at(counts_V, encoding.ids, 1)
    kept_V = counts_V >= min_count
    # A model needs its special tokens even where no text holds them.
    kept_V[list(tokenizer.get_added_tokens_decoder())] = True
    unknown = getattr(tokenizer.model, "unk_token", None)
    if unknown in vocab:
        kept_V[vocab[unknown]] = True
    return np.flatnonzero(kept_V)


def cut_tokenizer(tokenizer: Tokenizer, kept: IntArray) -> Tokenizer:
    """Return a tokenizer that has only some tokens, numbered anew in their order.

    Args:
        tokenizer: Of the kind WordPiece or WordLevel.
        kept: Ids to keep, rising.

    Raises:
        ConfigError: It is of another kind, whose tokens are made of each other.
    """
    # The library can add tokens but takes none away, so its JSON is rewritten.
    content: dict[str, Any] = json.loads(tokenizer.to_str())
    kind = content["model"].get("type")
    if kind not in MODELS:
        raise ConfigError(
            f"The 'vocabulary' parameter of prune needs a tokenizer of the kind {' or '.join(MODELS)}. Got {kind} "
            "instead.",
            hint="Leave vocabulary out.",
        )
    new_ids = {old: new for new, old in enumerate(kept.tolist())}
    vocab = content["model"]["vocab"]
    content["model"]["vocab"] = {token: new_ids[old] for token, old in vocab.items() if old in new_ids}
    for token in content["added_tokens"]:
        token["id"] = new_ids[token["id"]]
    _renumber(content.get("post_processor"), new_ids)
    return Tokenizer.from_str(json.dumps(content))


def _renumber(processor: Any, new_ids: dict[int, int]) -> None:
    """Give the special tokens that a post-processor adds their new numbers."""
    if not isinstance(processor, dict):
        return
    # The forms of post-processors: a sequence has ``processors``, a template ``special_tokens`` with lists of ids, and
    # those of BERT and RoBERTa have ``sep`` and ``cls``, each a token and its id.
    for inner in processor.get("processors", ()):
        _renumber(inner, new_ids)
    for special in processor.get("special_tokens", {}).values() if "special_tokens" in processor else ():
        special["ids"] = [new_ids[old] for old in special["ids"]]
    for name in ("sep", "cls"):
        if isinstance(processor.get(name), list):
            token, old = processor[name]
            processor[name] = [token, new_ids[old]]
