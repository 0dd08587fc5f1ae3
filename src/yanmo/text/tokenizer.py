"""Token ids of whole columns with the ``tokenizers`` library: training, loading, encoding; it knows no model.

Tokenizers trained here have the special tokens [PAD]=0 [UNK]=1 [CLS]=2 [SEP]=3 [MASK]=4 and the template
``[CLS] A [SEP]``, or ``[CLS] A [SEP] B [SEP]`` for pairs. The words "[SEP]" and so on in a user's text are plain text.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tokenizers import Encoding, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

from yanmo.arrays import IntArray, Ragged
from yanmo.errors import ArtifactError
from yanmo.text.columns import replace_surrogates
from yanmo.text.inputs import Windows

__all__ = [
    "SPECIAL_TOKENS",
    "Encoded",
    "UnitTokens",
    "count_unknown",
    "encode_column",
    "open_tokenizer",
    "train_wordlevel",
    "train_wordpiece",
    "truncating",
    "unknown_id",
]

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
CHARACTERS_PER_TOKEN = 20
"""Texts are cut to ``max_length`` times this many characters before they are tokenized."""

# About a fifth of the vocabulary is left for merges, however many characters a corpus has; Chinese has thousands.
_MAX_ALPHABET_SHARE = 0.8
_CHUNK = 1024


@dataclass(frozen=True)
class UnitTokens:
    """Where the units of N texts are among the tokens of their W rows; each unit is decided about in one row.

    Attributes:
        firsts: The place in its row of every unit's first token, int64, W rows: the units that are decided about there.
        places: Where the units begin and end in the raw texts, int64, shape (U, 2), of N rows.
    """

    firsts: Ragged
    places: Ragged


@dataclass(frozen=True)
class Encoded:
    """Token ids of N texts or pairs, without padding, in W rows: N, or more if long texts are cut into windows.

    Attributes:
        ids: int64 token ids, special tokens included, W rows; the first N are the beginnings of the texts, but of units
            the rows of one text follow each other, and a text without units has none.
        type_ids: int64, 0 for the first text and 1 for the second, or the kind of the unit that a token is of; None
            where there is no second text and no kind.
        truncated_N: Whether the end of a text was cut off, bool, shape (N,).
        num_unknown_N: Unknown tokens in each row, int64, shape (W,).
        text_W: The text that each row is of, int64, shape (W,); None where row i is text i.
        num_special: Special tokens of each row.
        units: Where the units are, if parts of texts are decided about; else None.
    """

    ids: Ragged
    type_ids: Ragged | None
    truncated_N: npt.NDArray[np.bool_]
    num_unknown_N: IntArray
    text_W: IntArray | None = None
    num_special: int = 0
    units: UnitTokens | None = None

    def take(self, rows_W: IntArray) -> Encoded:
        """Return some of the rows as texts of their own; units that are decided about elsewhere are no part of them."""
        units, types = self.units, self.type_ids
        if units is not None:
            firsts = units.firsts.take(rows_W)
            places = Ragged(units.places.values, units.firsts.offsets).take(rows_W)
            units = UnitTokens(firsts, places)
        return Encoded(
            self.ids.take(rows_W),
            None if types is None else types.take(rows_W),
            self.truncated_N[rows_W if self.text_W is None else self.text_W[rows_W]],
            self.num_unknown_N[rows_W],
            num_special=self.num_special,
            units=units,
        )


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
    # The normalizer puts spaces around Chinese characters; the splitter cuts there, at white space and punctuation.
    splitter = pre_tokenizers.BertPreTokenizer()
    # Of the smallest vocabularies the special tokens take more than what merges leave.
    limit = min(int(vocab_size * _MAX_ALPHABET_SHARE), vocab_size - len(SPECIAL_TOKENS))
    starts, continued = _alphabet(texts, normalizer, splitter, min_frequency, limit)
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
    # The learner holds the whole alphabet as special tokens, which it would look for in a text before it looks for
    # words. A tokenizer of its vocabulary alone has the same ids, and characters are ordinary pieces again.
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
    # Words are counted first, so that the splitter is called once for each distinct word and not once for each place.
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
    # The character decides between equal counts, so the vocabulary does not depend on the order of the texts.
    frequent.sort(key=lambda character: (-characters[character], character))
    starts: list[str] = []
    continued: list[str] = []
    for character in frequent:
        # A character may take two places: one at the start of a word and one, with ##, inside of it.
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
    # A word of the texts that looks like a special token has its place in the vocabulary already.
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


def open_tokenizer(path: Path, *, max_length: int | None = None) -> Tokenizer:
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
    # The setting is not kept in the file. Without it a user's "[SEP]" would end the first text of a pair.
    tokenizer.encode_special_tokens = True
    return tokenizer if max_length is None else truncating(tokenizer, max_length)


def truncating(tokenizer: Tokenizer, max_length: int, stride: int | None = None) -> Tokenizer:
    """Return the tokenizer itself if it truncates to this length, pads nothing and takes "[SEP]" in a text for text.

    Else return a copy that does.

    Args:
        tokenizer: Any tokenizer; it is not changed.
        max_length: Largest number of tokens, special ones included; pairs lose tokens of their longer text first.
        stride: Tokens that what is cut off begins with again; None means any number.
    """
    found, is_plain = tokenizer.truncation, tokenizer.padding is None and tokenizer.encode_special_tokens
    if found and is_plain and found["max_length"] == max_length and stride in (None, found["stride"]):
        return tokenizer
    return _truncating_copy(tokenizer, max_length, stride or 0)


@functools.lru_cache(maxsize=4)
def _truncating_copy(tokenizer: Tokenizer, max_length: int, stride: int) -> Tokenizer:
    # A copy is the whole vocabulary, written as JSON and parsed again: calls with the same tokenizer share it.
    copy = Tokenizer.from_str(tokenizer.to_str())
    copy.no_padding()
    copy.enable_truncation(max_length, stride=stride, strategy="longest_first")
    copy.encode_special_tokens = True
    return copy


def encode_column(
    tokenizer: Tokenizer,
    first: Sequence[str],
    second: Sequence[str] | None = None,
    max_length: int = 128,
    *,
    windows: Windows | None = None,
) -> Encoded:
    """Return the token ids of a column; only texts that are too long are looked at one by one.

    Args:
        tokenizer: Best one that ``truncating`` returned for this length: any other is copied in every call.
        first: N cleaned texts, the first ones of pairs.
        second: Those beside them, of N pairs.
        max_length: Largest number of tokens, special ones included.
        windows: If given, texts that are too long are cut into windows; each has special tokens of its own. Of a pair,
            every window of the one text is read with every window of the other.
    """
    num_special = tokenizer.num_special_tokens_to_add(second is not None)
    stride = None
    if windows is not None:
        # The overlap is a share of what special tokens leave free; the two texts of a pair have half of that each.
        stride = int(windows.overlap * max((max_length - num_special) // (1 if second is None else 2), 0))
    tokenizer = truncating(tokenizer, max_length, stride)
    max_windows = windows.max_windows if windows is not None else 1
    # Characters that no window can reach are not tokenized: a text of megabytes costs as much as one of this length.
    limit = max_length * CHARACTERS_PER_TOKEN * max_windows
    first, cut_N = _cut(first, limit)
    if second is not None:
        second, cut_b_N = _cut(second, limit)
        cut_N |= cut_b_N
    encodings = _encode(tokenizer, first, second)
    rows = [encoding.ids for encoding in encodings]
    lengths = list(map(len, rows))
    text_W = None
    # Only a row that is full can have more behind it. Asking every encoding for its overflow would make Python objects
    # for all texts, of which most are short.
    if max(lengths, default=0) >= max_length:
        full_M = np.flatnonzero(np.array(lengths) >= max_length)
        further = [_further(encodings[text], max_windows) for text in full_M]
        cut_N[full_M] |= np.array([is_cut for _, is_cut in further], dtype=np.bool_)
        added = [encoding for found, _ in further for encoding in found]
        if added:
            encodings, rows = encodings + added, rows + [encoding.ids for encoding in added]
            lengths = list(map(len, rows))
            text_W = np.concatenate([np.arange(len(first)), np.repeat(full_M, [len(found) for found, _ in further])])
    offsets = np.array([0, *accumulate(lengths)], dtype=np.int64)
    ids = _without_forged(tokenizer, encodings, _flat(rows, offsets))
    type_ids = None if second is None else _flat(_type_ids(encodings, len(first)), offsets)
    return Encoded(ids, type_ids, cut_N, count_unknown(tokenizer, ids), text_W, num_special)


def _encode(tokenizer: Tokenizer, first: Sequence[str], second: Sequence[str] | None) -> list[Encoding]:
    # The fast call keeps no offsets, which nobody reads here.
    try:
        return tokenizer.encode_batch_fast(first if second is None else list(zip(first, second, strict=True)))
    except TypeError:
        # That is what the library says to lone surrogates.
        columns = [[replace_surrogates(text) for text in column] for column in (first, second) if column is not None]
        return tokenizer.encode_batch_fast(columns[0] if second is None else list(zip(*columns, strict=True)))


def _further(encoding: Encoding, max_windows: int) -> tuple[list[Encoding], bool]:
    """Return the windows after a text's first one, and whether there are more than may be read."""
    found = encoding.overflowing
    return found[: max_windows - 1], len(found) >= max_windows


def _type_ids(encodings: list[Encoding], num_texts: int) -> Iterator[list[int]]:
    """Yield the token types of N pairs, then those of further windows, whose second text the library gives type 0."""
    for encoding in encodings[:num_texts]:
        yield encoding.type_ids
    if len(encodings) == num_texts:
        return
    # The type that the template gives to second texts; some models give 0 to both.
    type_b = max(max(encoding.type_ids, default=0) for encoding in encodings[:num_texts])
    for encoding in encodings[num_texts:]:
        sequences = encoding.sequence_ids
        begin = sequences.index(1) if 1 in sequences else len(sequences)
        yield encoding.type_ids[:begin] + [type_b] * (len(sequences) - begin)


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
    unknown = unknown_id(tokenizer)
    if unknown is None or not isinstance(tokenizer.model, models.Unigram):
        return ids
    special = [id_ for id_, token in tokenizer.get_added_tokens_decoder().items() if token.special and id_ != unknown]
    masks = chain.from_iterable(encoding.special_tokens_mask for encoding in encodings)
    added = np.fromiter(masks, dtype=np.bool_, count=len(ids.values))
    return Ragged(np.where(np.isin(ids.values, special) & ~added, unknown, ids.values), ids.offsets)


def unknown_id(tokenizer: Tokenizer) -> int | None:
    """Return the id of what stands for all that a tokenizer does not know, None where it knows everything."""
    # Unigram models know their unknown token by its id only; by custom it is called "<unk>".
    return tokenizer.token_to_id(getattr(tokenizer.model, "unk_token", None) or "<unk>")


def count_unknown(tokenizer: Tokenizer, ids: Ragged) -> IntArray:
    """Return how many tokens of each row are unknown, int64."""
    unknown = unknown_id(tokenizer)
    if unknown is None:
        return np.zeros(len(ids), dtype=np.int64)
    is_unknown = ids.values == unknown
    if not is_unknown.any():
        return np.zeros(len(ids), dtype=np.int64)
    # Differences of running sums, since np.add.reduceat gives an empty row the value that follows it.
    hits = np.concatenate(([0], np.cumsum(is_unknown)))
    return hits[ids.offsets[1:]] - hits[ids.offsets[:-1]]
