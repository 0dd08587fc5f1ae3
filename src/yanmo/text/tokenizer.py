"""Token ids of whole columns with the ``tokenizers`` library: training, loading, encoding; it knows no model.

Tokenizers trained here have the special tokens [PAD]=0 [UNK]=1 [CLS]=2 [SEP]=3 [MASK]=4 and the template
``[CLS] A [SEP]``, or ``[CLS] A [SEP] B [SEP]`` for pairs. The words "[SEP]" and so on in a user's text are plain text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tokenizers import Encoding, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

from yanmo.errors import ArtifactError
from yanmo.protocols import IntArray, Ragged
from yanmo.text.columns import replace_surrogates

__all__ = ["SPECIAL_TOKENS", "Encoded", "encode_column", "load", "train_wordlevel", "train_wordpiece", "truncating"]

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
CHARACTERS_PER_TOKEN = 20
"""Texts are cut to ``max_length`` times this many characters before they are tokenized."""

_MAX_ALPHABET_SHARE = 0.8
_CHUNK = 1024


@dataclass(frozen=True)
class Encoded:
    """Token ids of N texts or pairs, without padding.

    Attributes:
        ids: int64 token ids, special tokens included.
        type_ids: int64, 0 for the first text and 1 for the second; None where there is no second text.
        truncated_N: Whether the end of a text was cut off, bool, shape (N,).
        num_unknown_N: Unknown tokens in each row, int64, shape (N,).
    """

    ids: Ragged
    type_ids: Ragged | None
    truncated_N: npt.NDArray[np.bool_]
    num_unknown_N: IntArray


def train_wordpiece(
    texts: Sequence[str], vocab_size: int = 8000, *, min_frequency: int = 2, lowercase: bool = True
) -> Tokenizer:
    """Return a WordPiece tokenizer; Chinese is cut into characters.

    Args:
        texts: Cleaned texts.
        vocab_size: Largest number of tokens, special ones included.
        min_frequency: A character or a pair to merge must occur this often.
        lowercase: Whether case is ignored.

    Source: Wu et al. 2016, "Google's Neural Machine Translation System", section 4.1, arXiv:1609.08144.
    Differs: merges the most frequent pair, as the ``tokenizers`` library does; accents stay; the ids are the same in
        every run, for which the alphabet is counted here.
    """
    normalizer = normalizers.BertNormalizer(
        clean_text=True, handle_chinese_chars=True, strip_accents=False, lowercase=lowercase
    )
    splitter = pre_tokenizers.BertPreTokenizer()
    starts, continued = _alphabet(texts, normalizer, splitter, min_frequency, int(vocab_size * _MAX_ALPHABET_SHARE))
    learner = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    learner.normalizer, learner.pre_tokenizer = normalizer, splitter
    # The trainer numbers continued characters in an order that changes from run to run, unless they come first.
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocab_size,
        min_frequency=min_frequency,
        limit_alphabet=len(starts),
        initial_alphabet=starts,
        special_tokens=[*SPECIAL_TOKENS, *starts, *continued],
        show_progress=False,
    )
    learner.train_from_iterator(texts, trainer, length=len(texts))
    tokenizer = Tokenizer(models.WordPiece(learner.get_vocab(with_added_tokens=False), unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, splitter
    return _with_specials(tokenizer)


def _alphabet(
    texts: Sequence[str],
    normalizer: normalizers.Normalizer,
    splitter: pre_tokenizers.PreTokenizer,
    min_frequency: int,
    limit: int,
) -> tuple[list[str], list[str]]:
    """Return the most frequent characters, and those of them which continue a word, with ``##`` before them."""
    words: Counter[str] = Counter()
    for start in range(0, len(texts), _CHUNK):
        words.update(normalizer.normalize_str(" ".join(texts[start : start + _CHUNK])).split())
    characters: Counter[str] = Counter()
    continuing: set[str] = set()
    for word, count in words.items():
        for part, _ in splitter.pre_tokenize_str(word):
            continuing.update(part[1:])
            for character in part:
                characters[character] += count
    frequent = [character for character, count in characters.items() if count >= min_frequency]
    frequent.sort(key=lambda character: (-characters[character], character))
    starts: list[str] = []
    continued: list[str] = []
    for character in frequent:
        if len(starts) + len(continued) + 2 > limit:
            break
        starts.append(character)
        if character in continuing:
            continued.append("##" + character)
    return starts, continued


def train_wordlevel(
    texts: Sequence[str], vocab_size: int = 30000, *, min_frequency: int = 2, lowercase: bool = True
) -> Tokenizer:
    """Return a tokenizer whose tokens are the words between spaces, for segmented text.

    Args:
        texts: Cleaned texts, words separated by white space.
        vocab_size: Largest number of tokens, special ones included.
        min_frequency: A word must occur this often.
        lowercase: Whether case is ignored.
    """
    lowered = (text.lower() for text in texts) if lowercase else iter(texts)
    counts = Counter(chain.from_iterable(text.split() for text in lowered))
    frequent = [word for word, count in counts.items() if count >= min_frequency and word not in SPECIAL_TOKENS]
    frequent.sort(key=lambda word: (-counts[word], word))
    words = [*SPECIAL_TOKENS, *frequent[: max(vocab_size - len(SPECIAL_TOKENS), 0)]]
    tokenizer = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, unk_token="[UNK]"))
    if lowercase:
        tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return _with_specials(tokenizer)


def _with_specials(tokenizer: Tokenizer) -> Tokenizer:
    tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")],
    )
    tokenizer.encode_special_tokens = True
    return tokenizer


def load(path: Path, *, max_length: int | None = None) -> Tokenizer:
    """Return the tokenizer of a ``tokenizer.json``.

    Args:
        path: The file.
        max_length: If given, the tokenizer is made ready for ``encode_column`` with this length.

    Raises:
        ArtifactError: The file is missing or broken.
    """
    hint = "Make the artifact again, or copy it again from where it was made."
    try:
        tokenizer = Tokenizer.from_str(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ArtifactError(f"The tokenizer {path} cannot be read: {error}.", hint=hint) from error
    except Exception as error:  # the library raises nothing narrower
        raise ArtifactError(f"The tokenizer {path} is broken: {error}.", hint=hint) from error
    tokenizer.encode_special_tokens = True
    return tokenizer if max_length is None else truncating(tokenizer, max_length)


def truncating(tokenizer: Tokenizer, max_length: int) -> Tokenizer:
    """Return the tokenizer itself if it truncates to this length and pads nothing, else a copy that does.

    Args:
        tokenizer: Any tokenizer; it is not changed.
        max_length: Largest number of tokens, special ones included; pairs lose tokens of their longer text first.
    """
    truncation = tokenizer.truncation
    if truncation is not None and truncation["max_length"] == max_length and tokenizer.padding is None:
        return tokenizer
    copy = Tokenizer.from_str(tokenizer.to_str())
    copy.no_padding()
    copy.enable_truncation(max_length, strategy="longest_first")
    copy.encode_special_tokens = True
    return copy


def encode_column(
    tokenizer: Tokenizer, texts: Sequence[str], texts_b: Sequence[str] | None = None, max_length: int = 128
) -> Encoded:
    """Return the token ids of a column.

    Args:
        tokenizer: Best one that ``truncating`` returned for this length: any other is copied in every call.
        texts: N cleaned texts.
        texts_b: The second texts of N pairs.
        max_length: Largest number of tokens, special ones included.
    """
    tokenizer = truncating(tokenizer, max_length)
    texts, cut_N = _cut(texts, max_length * CHARACTERS_PER_TOKEN)
    if texts_b is not None:
        texts_b, cut_b_N = _cut(texts_b, max_length * CHARACTERS_PER_TOKEN)
        cut_N |= cut_b_N
    encodings = _encode(tokenizer, texts, texts_b)
    rows = [encoding.ids for encoding in encodings]
    offsets = np.zeros(len(rows) + 1, dtype=np.int64)
    np.cumsum([len(row) for row in rows], out=offsets[1:])
    ids = _without_forged(tokenizer, encodings, _flat(rows, offsets))
    full = np.flatnonzero(np.diff(offsets) >= max_length).tolist()
    overflown = [index for index in full if encodings[index].overflowing]
    cut_N[overflown] = True
    type_ids = None if texts_b is None else _flat((encoding.type_ids for encoding in encodings), offsets)
    return Encoded(ids, type_ids, cut_N, _count_unknown(tokenizer, ids))


def _encode(tokenizer: Tokenizer, texts: Sequence[str], texts_b: Sequence[str] | None) -> list[Encoding]:
    try:
        return tokenizer.encode_batch_fast(texts if texts_b is None else list(zip(texts, texts_b, strict=True)))
    except TypeError:
        # That is what the library says to lone surrogates.
        columns = [[replace_surrogates(text) for text in column] for column in (texts, texts_b) if column is not None]
        return tokenizer.encode_batch_fast(columns[0] if texts_b is None else list(zip(*columns, strict=True)))


def _cut(texts: Sequence[str], limit: int) -> tuple[Sequence[str], npt.NDArray[np.bool_]]:
    if max(map(len, texts), default=0) <= limit:
        return texts, np.zeros(len(texts), dtype=np.bool_)
    cut_N = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts)) > limit
    return [text[:limit] for text in texts], cut_N


def _flat(rows: Iterable[list[int]], offsets: IntArray) -> Ragged:
    values = np.fromiter(chain.from_iterable(rows), dtype=np.int64, count=int(offsets[-1]))
    return Ragged(values, offsets)


def _without_forged(tokenizer: Tokenizer, encodings: Sequence[Encoding], ids: Ragged) -> Ragged:
    """Return the ids with the unknown token where a Unigram model took text such as "</s>" for a special token.

    Its vocabulary holds them as pieces, so ``encode_special_tokens`` does not help; T5 refuses a second end of text.
    """
    unknown = _unknown_id(tokenizer)
    if unknown is None or not isinstance(tokenizer.model, models.Unigram):
        return ids
    special = [id_ for id_, token in tokenizer.get_added_tokens_decoder().items() if token.special and id_ != unknown]
    masks = chain.from_iterable(encoding.special_tokens_mask for encoding in encodings)
    added = np.fromiter(masks, dtype=np.bool_, count=len(ids.values))
    return Ragged(np.where(np.isin(ids.values, special) & ~added, unknown, ids.values), ids.offsets)


def _unknown_id(tokenizer: Tokenizer) -> int | None:
    return tokenizer.token_to_id(getattr(tokenizer.model, "unk_token", None) or "<unk>")


def _count_unknown(tokenizer: Tokenizer, ids: Ragged) -> IntArray:
    unknown = _unknown_id(tokenizer)
    if unknown is None:
        return np.zeros(len(ids), dtype=np.int64)
    hits = np.concatenate(([0], np.cumsum(ids.values == unknown)))
    return hits[ids.offsets[1:]] - hits[ids.offsets[:-1]]
