"""Tokens of language models: tokenizers trained for them, and whole columns cut into ids that say what they cover.

Tokenizers trained here know every text: bytes stand in for characters that the training texts lack. One special token
is both where a text begins and where it ends. It knows no model.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain
from pathlib import Path
from typing import Literal, Self, TypeAlias

import numpy as np
from msgspec import Struct
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from yanmo.arrays import IntArray, Ragged
from yanmo.errors import ModelError
from yanmo.text.columns import replace_surrogates
from yanmo.text.tokenizer import open_tokenizer, unknown_id

__all__ = ["END", "LanguageTokenizer", "Tokenization", "TokenizedTexts", "train_bytes", "train_characters"]

END = "<|endoftext|>"
"""Stands before a text and behind it, as GPT-2 has it."""
UNKNOWN = "<unk>"
END_TOKENS = (END, "</s>", "<|end_of_text|>", "<eos>", "<|im_end|>", "[SEP]")
"""What tokenizers call the end of a text, the first one that there is."""
NUM_BYTES = 256
NUM_CODES = 0x110000

LEAST_COUNT = 50
"""A word that comes more rarely is spelled, where recurring words are tokens and all others are not."""
WORD = r"\s?\S+|\s+"
"""A word with one white space before it."""

Tokenization: TypeAlias = Literal["auto", "bytes", "characters", "symbols", "words"]


class TokenizedTexts(Struct, frozen=True):
    """The tokens of N texts, without special ones.

    Attributes:
        ids: int64, N rows.
        places: Which characters of its text each token adds, the first and the one behind the last, int64, shape
            (M, 2).
    """

    ids: Ragged
    places: IntArray


@dataclass(frozen=True)
class LanguageTokenizer:
    """A tokenizer of a language model.

    Attributes:
        backend: Of the ``tokenizers`` library.
        end_id: Of the token that begins a text and ends it.
        characters: Of a tokenizer of characters the id of every code point, -1 where bytes stand in; else None.
    """

    backend: Tokenizer
    end_id: int
    characters: IntArray | None = None

    @classmethod
    def of(cls, backend: Tokenizer, *, name: str, end: str | None = None) -> Self:
        """Return a tokenizer ready to encode.

        Args:
            backend: Of the ``tokenizers`` library; its truncation and padding are switched off.
            name: Of the model, for the message.
            end: The token that ends a text; None looks for one of the usual names.

        Raises:
            ModelError: It has no such token.
        """
        backend.no_truncation()
        backend.no_padding()
        backend.encode_special_tokens = True
        ids = (backend.token_to_id(token) for token in ((end,) if end else END_TOKENS))
        found = next((one for one in ids if one is not None), None)
        if found is None:
            raise ModelError(
                f"The tokenizer of {name} has no token for the end of a text{f' named {end!r}' if end else ''}.",
                hint="A language model needs one, to know where texts begin and to stop writing; add it to the "
                f"tokenizer under one of the names: {', '.join(END_TOKENS)}.",
            )
        return cls(backend, found, _character_ids(backend))

    @classmethod
    def open(cls, path: Path, *, end: str | None = None) -> Self:
        """Return the tokenizer of a ``tokenizer.json``."""
        return cls.of(open_tokenizer(path), name=str(path), end=end)

    @property
    def vocab_size(self) -> int:
        """The number of ids."""
        return self.backend.get_vocab_size()

    def encode(self, texts: Sequence[str]) -> TokenizedTexts:
        """Return the tokens of N texts."""
        return self._by_library(texts) if self.characters is None else self._by_character(texts, self.characters)

    def _by_library(self, texts: Sequence[str]) -> TokenizedTexts:
        encodings = self.backend.encode_batch([replace_surrogates(text) for text in texts], add_special_tokens=False)
        offsets = np.array([0, *accumulate(len(one.ids) for one in encodings)], dtype=np.int64)
        ids = np.concatenate([np.asarray(one.ids, dtype=np.int64) for one in encodings] or [np.zeros(0, np.int64)])
        places = np.zeros((len(ids), 2), dtype=np.int64)
        for row, one in enumerate(encodings):
            if one.ids:
                part = slice(offsets[row], offsets[row + 1])
                # Tokens of one character say the whole of it each: the first of them counts it.
                places[part, 1] = np.maximum.accumulate(np.asarray(one.offsets, dtype=np.int64)[:, 1])
                places[part, 0] = np.concatenate(([0], places[part, 1][:-1]))
                # White space at the end of a text is no token of some tokenizers; the last one counts it.
                places[offsets[row + 1] - 1, 1] = len(texts[row])
        unknown = unknown_id(self.backend)
        # A vocabulary of words holds the mark as a word, which a text may have, too.
        if unknown is not None:
            ids[ids == self.end_id] = unknown
        return TokenizedTexts(Ragged(ids, offsets), places)

    def _by_character(self, texts: Sequence[str], characters: IntArray) -> TokenizedTexts:
        codes_U = _codes("".join(texts))
        ids_U = characters[codes_U]
        lengths_N = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))
        ends_N = np.concatenate(([0], np.cumsum(lengths_N)))
        within_U = np.arange(len(codes_U)) - np.repeat(ends_N[:-1], lengths_N)
        unknown = np.flatnonzero(ids_U < 0)
        if not len(unknown):
            return TokenizedTexts(Ragged(ids_U, ends_N), np.column_stack([within_U, within_U + 1]))
        spelled = [self._byte_ids(chr(code)) for code in codes_U[unknown].tolist()]
        counts_U = np.ones(len(codes_U), dtype=np.int64)
        counts_U[unknown] = [len(one) for one in spelled]
        starts_U = np.cumsum(counts_U) - counts_U
        ids = np.repeat(ids_U, counts_U)
        ids[ids < 0] = np.concatenate([np.asarray(one, dtype=np.int64) for one in spelled])
        firsts = np.repeat(within_U, counts_U)
        # The first byte counts the character, those after it nothing.
        is_first = np.arange(len(ids)) == np.repeat(starts_U, counts_U)
        places = np.column_stack([np.where(is_first, firsts, firsts + 1), firsts + 1])
        ends = np.concatenate(([0], np.cumsum(counts_U)))[ends_N]
        return TokenizedTexts(Ragged(ids, ends), places)

    def _byte_ids(self, character: str) -> list[int]:
        spelled = [self.backend.token_to_id(f"<0x{byte:02X}>") for byte in replace_surrogates(character).encode()]
        return [one for one in spelled if one is not None]


def train_bytes(texts: Sequence[str], vocab_size: int) -> Tokenizer:
    """Return a tokenizer of merged bytes.

    Args:
        texts: To count pairs in.
        vocab_size: Largest number of tokens; all bytes and the end of a text take 257.

    Source: Radford et al. 2019, "Language Models are Unsupervised Multitask Learners", section 2.2 (merges of bytes
        within words).
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=max(vocab_size, NUM_BYTES + 1),
        special_tokens=[END],
        # In an order of its own, since that of the library changes from run to run.
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer, length=len(texts))
    return tokenizer


def train_characters(texts: Sequence[str], vocab_size: int) -> Tokenizer:
    """Return a tokenizer of the most frequent characters; bytes stand in for the others.

    Args:
        texts: To count characters in.
        vocab_size: Largest number of tokens; all bytes and the end of a text take 257.
    """
    counts = np.bincount(_codes("".join(texts)))
    # The code point decides between equal counts, so the vocabulary does not depend on the order of the texts.
    known = np.argsort(-counts, kind="stable")[: np.count_nonzero(counts)][: max(vocab_size - NUM_BYTES - 1, 0)]
    tokens = [END, *(f"<0x{byte:02X}>" for byte in range(NUM_BYTES)), *map(chr, np.sort(known).tolist())]
    vocabulary = {token: place for place, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], byte_fallback=True))
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.add_special_tokens([END])
    return tokenizer


def train_symbols(texts: Sequence[str], vocab_size: int) -> Tokenizer:
    """Return a tokenizer of words that recur, such as phonemes and syllables, and of characters for all others.

    Args:
        texts: To count words and characters in.
        vocab_size: Largest number of tokens; all bytes and the end of a text take 257, and characters come first.
    """
    tokenizer = train_characters(texts, vocab_size)
    vocabulary = tokenizer.get_vocab()
    split = pre_tokenizers.Split(Regex(WORD), behavior="isolated")
    counts = Counter(word for text in texts for word, _ in split.pre_tokenize_str(replace_surrogates(text)))
    recurring = (word for word, count in counts.items() if count >= LEAST_COUNT and word not in vocabulary)
    # The word decides between equal counts, so the vocabulary does not depend on the order of the texts.
    words = sorted(recurring, key=lambda word: (-counts[word], word))[: max(vocab_size - len(vocabulary), 0)]
    vocabulary |= {word: len(vocabulary) + place for place, word in enumerate(words)}
    symbols = Tokenizer(models.BPE(vocab=vocabulary, merges=[], byte_fallback=True, ignore_merges=True))
    symbols.pre_tokenizer, symbols.decoder = split, tokenizer.decoder
    symbols.add_special_tokens([END])
    return symbols


def train_words(texts: Sequence[str], vocab_size: int) -> Tokenizer:
    """Return a tokenizer of the most frequent words between white space; all others are one unknown word.

    What it says of a text leaves out how unknown words are spelled, so its bits a character are too few by that.

    Args:
        texts: To count words in.
        vocab_size: Largest number of tokens, the unknown word and the end of a text included.
    """
    counts = Counter(chain.from_iterable(text.split() for text in texts))
    # The word decides between equal counts, so the vocabulary does not depend on the order of the texts.
    frequent = sorted((word for word in counts if word not in (END, UNKNOWN)), key=lambda word: (-counts[word], word))
    words = [END, UNKNOWN, *frequent[: max(vocab_size - 2, 0)]]
    tokenizer = Tokenizer(models.WordLevel({word: place for place, word in enumerate(words)}, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens([END, UNKNOWN])
    return tokenizer


TRAINERS: Mapping[Tokenization, Callable[[Sequence[str], int], Tokenizer]] = {
    "bytes": train_bytes,
    "characters": train_characters,
    "symbols": train_symbols,
    "words": train_words,
}
"""What a text is cut into, to what makes such a tokenizer."""


def _codes(text: str) -> IntArray:
    """Return the code points of a text; lone surrogates are U+FFFD."""
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32).astype(np.int64)
    return np.where((codes >= 0xD800) & (codes < 0xE000), 0xFFFD, codes)


def _character_ids(backend: Tokenizer) -> IntArray | None:
    """Return the id of every code point, -1 where there is none; None where tokens may have several characters."""
    vocabulary = backend.get_vocab(with_added_tokens=False)
    single = {token: place for token, place in vocabulary.items() if len(token) == 1}
    # Bytes by name, and the special token, are all that is longer.
    others = len(vocabulary) - len(single)
    if not isinstance(backend.model, models.BPE) or not backend.model.byte_fallback or others != NUM_BYTES + 1:
        return None
    table = np.full(NUM_CODES, -1, dtype=np.int64)
    table[[ord(token) for token in single]] = list(single.values())
    return table
