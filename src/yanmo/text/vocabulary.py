"""A tokenizer with fewer tokens: those that texts use, what these are made of, and the special ones; it knows no model.

A text whose tokens are all kept is cut into the same ones as before. WordPiece and WordLevel take the longest token
that fits, and leaving out others makes none fit that did not. BPE puts pairs together in the order of its merges:
within a token the same ones as if it stood alone, and these stay, with all that they give. Unigram takes the most
likely cut: what stays beside the tokens keeps all other cuts as likely as they were, or forbids them.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from tokenizers import Tokenizer
from tokenizers.pre_tokenizers import ByteLevel

from yanmo.arrays import IntArray
from yanmo.errors import ConfigError
from yanmo.text.words import untruncated

__all__ = ["cut_tokenizer", "used_tokens"]

BYTES = tuple(f"<0x{byte:02X}>" for byte in range(256))
"""Tokens that stand for the bytes of a character that has none of its own."""

MARKS = ("continuing_subword_prefix", "end_of_word_suffix")
"""What a BPE's JSON calls what it adds to tokens; they are then not what their parts are side by side."""


def used_tokens(tokenizer: Tokenizer, columns: Iterable[Sequence[str]], *, min_count: int) -> IntArray:
    """Return the ids of the tokens that occur often enough in texts, what they are made of, and all special ones.

    Args:
        tokenizer: Any.
        columns: Cleaned texts.
        min_count: At least 1.
    """
    tokenizer = untruncated(tokenizer)
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
    content: dict[str, Any] = json.loads(tokenizer.to_str())
    kept = {token for token, place in vocab.items() if kept_V[place]}
    makings = KINDS[content["model"]["type"]].makings(content, kept)
    kept_V[[vocab[token] for token in makings if token in vocab]] = True
    return np.flatnonzero(kept_V)


def cut_tokenizer(tokenizer: Tokenizer, kept: IntArray) -> Tokenizer:
    """Return a tokenizer that has only some tokens, numbered anew in their order.

    Args:
        tokenizer: Of any kind, but for a BPE that marks the parts of words.
        kept: Ids to keep, rising, from :func:`used_tokens`.

    Raises:
        ConfigError: It marks the ends of words, or numbers its tokens in a way that its library does not read back.
    """
    # The library can add tokens but takes none away, so its JSON is rewritten.
    content: dict[str, Any] = json.loads(tokenizer.to_str())
    new_ids = {old: new for new, old in enumerate(kept.tolist())}
    KINDS[content["model"]["type"]].cut(content["model"], new_ids)
    for token in content["added_tokens"]:
        token["id"] = new_ids[token["id"]]
    _renumber(content.get("post_processor"), new_ids)
    smaller = Tokenizer.from_str(json.dumps(content))
    numbers = smaller.get_vocab()
    moved = (one for one, old in tokenizer.get_vocab().items() if old in new_ids and numbers.get(one) != new_ids[old])
    wrong = next(moved, None)
    if wrong is not None:
        raise ConfigError(
            f"The 'vocabulary' parameter of prune cannot give the token {wrong!r} a new number: this tokenizer numbers "
            "its tokens otherwise than it lists them.",
            hint="Leave vocabulary out.",
        )
    return smaller


class _Kind(NamedTuple):
    """What is special about a kind of tokenizer.

    Attributes:
        makings: From the tokenizer's JSON and tokens that stay to those that have to stay with them.
        cut: Takes tokens out of the JSON of its model, given the new numbers of those that stay by their old ones.
    """

    makings: Callable[[Mapping[str, Any], set[str]], Iterable[str]]
    cut: Callable[[dict[str, Any], Mapping[int, int]], None]


def _no_makings(content: Mapping[str, Any], kept: set[str]) -> Iterable[str]:  # noqa: ARG001 - one signature
    return ()


def _cut_words(model: dict[str, Any], new_ids: Mapping[int, int]) -> None:
    model["vocab"] = {token: new_ids[old] for token, old in model["vocab"].items() if old in new_ids}


def _merged_makings(content: Mapping[str, Any], kept: set[str]) -> Iterable[str]:
    """Return all that stands in between when characters are put together to the tokens that stay."""
    ranks = {pair: rank for rank, pair in enumerate(_pairs(content["model"]))}
    found = {made for token in kept for made in _steps(token, ranks)}
    # Every text is made of these bytes, so none is ever unknown.
    has_bytes = '"ByteLevel"' in json.dumps([content.get("normalizer"), content.get("pre_tokenizer")])
    return (*found, *(ByteLevel.alphabet() if has_bytes else ()), *_bytes(content["model"]))


def _steps(token: str, ranks: Mapping[tuple[str, str], int]) -> Iterable[str]:
    """Yield the characters of a token, and what each merge makes of two parts of it, until none fits."""
    parts = list(token)
    yield from parts
    while len(parts) > 1:
        pairs = [(ranks.get(pair, len(ranks)), place) for place, pair in enumerate(itertools.pairwise(parts))]
        rank, place = min(pairs)
        if rank == len(ranks):
            return
        parts[place : place + 2] = ["".join(parts[place : place + 2])]
        yield parts[place]


def _pairs(model: Mapping[str, Any]) -> list[tuple[str, str]]:
    # Older files have a line for each merge, with a space between its parts.
    pairs = (one.split(" ", 1) if isinstance(one, str) else one for one in model["merges"])
    return [(first, second) for first, second in pairs]


def _cut_merges(model: dict[str, Any], new_ids: Mapping[int, int]) -> None:
    mark = next((model[name] for name in MARKS if model.get(name)), None)
    if mark is not None:
        raise ConfigError(
            f"The 'vocabulary' parameter of prune does not suit a tokenizer that marks the parts of words by {mark!r}.",
            hint="Leave vocabulary out.",
        )
    _cut_words(model, new_ids)
    vocab = model["vocab"]
    model["merges"] = [[a, b] for a, b in _pairs(model) if a in vocab and b in vocab and a + b in vocab]


def _likely_makings(content: Mapping[str, Any], kept: set[str]) -> Iterable[str]:
    """Return what keeps other cuts as likely as they were: single characters, and the least likely piece.

    A character without a piece of its own is unknown, and may be cut so; how likely that is goes by the least likely
    piece of all.
    """
    model = content["model"]
    least = min(model["vocab"], key=lambda piece: piece[1])[0]
    unknown = [model["vocab"][model["unk_id"]][0]] if model.get("unk_id") is not None else []
    return (*{character for token in kept for character in token}, least, *unknown, *_bytes(model))


def _cut_pieces(model: dict[str, Any], new_ids: Mapping[int, int]) -> None:
    model["vocab"] = [piece for place, piece in enumerate(model["vocab"]) if place in new_ids]
    if model.get("unk_id") is not None:
        model["unk_id"] = new_ids[model["unk_id"]]


def _bytes(model: Mapping[str, Any]) -> tuple[str, ...]:
    return BYTES if model.get("byte_fallback") else ()


KINDS = {
    "WordPiece": _Kind(_no_makings, _cut_words),
    "WordLevel": _Kind(_no_makings, _cut_words),
    "BPE": _Kind(_merged_makings, _cut_merges),
    "Unigram": _Kind(_likely_makings, _cut_pieces),
}
"""What a tokenizer's JSON calls its model; there is no other."""


def _renumber(processor: Any, new_ids: Mapping[int, int]) -> None:
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
