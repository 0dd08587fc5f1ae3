"""TF-IDF weights of hashed n-grams, with numpy alone; it knows neither texts nor labels.

A vocabulary is a sorted array of hashes; rows are sparse, in the usual compressed form, and have length 1. The weights
are those of scikit-learn's ``TfidfVectorizer``, in another order of columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from yanmo.arrays import FloatArray, IntArray, Ragged
from yanmo.text.units import HashArray

__all__ = ["SparseRows", "Tfidf", "fit_tfidf", "fit_transform", "top_terms_by_class", "transform", "with_strings"]

ColumnArray = npt.NDArray[np.int32]

TABLE_BITS = 18
"""The table that finds distinct hashes has 2^18 places: 2 MB."""
FEW_VALUES = 1 << 18
"""So many hashes are sorted sooner than such a table is filled and read."""
BLOCK_VALUES = 1 << 16
"""Rows of at most this many n-grams in all are counted at a time, but at least one row."""


@dataclass(frozen=True)
class Tfidf:
    """A vocabulary of F n-grams and their weights.

    Attributes:
        keys: Hashes in ascending order, uint64, shape (F,).
        idf: Inverse document frequencies, float32, shape (F,).
        sublinear: Whether a count c in a text weighs 1 + ln(c) instead of c.
    """

    keys: HashArray
    idf: FloatArray
    sublinear: bool = False


@dataclass(frozen=True)
class SparseRows:
    """N sparse rows: row i has ``values`` at columns ``indices`` in ``offsets[i]:offsets[i + 1]``, columns ascending.

    Attributes:
        indices: int32 columns.
        values: float32 weights; the squares of a row that is not empty sum to 1.
        offsets: int64, shape (N + 1,).
        num_unknown_N: N-grams of each text that the vocabulary lacks, int64, shape (N,).
    """

    indices: ColumnArray
    values: FloatArray
    offsets: IntArray
    num_unknown_N: IntArray


@dataclass(frozen=True)
class _Counts:
    """How often which key occurs in which row, without zeros: row i has ``counts`` at ``columns`` between its offsets.

    Keys ascend, and so do the columns of a row.
    """

    keys: HashArray
    columns: ColumnArray
    counts: IntArray
    offsets: IntArray


def fit_tfidf(hashes: Ragged, *, min_df: int = 1, max_features: int | None = None, sublinear: bool = False) -> Tfidf:
    """Return the vocabulary of a column, with weights.

    Args:
        hashes: N rows of n-gram hashes.
        min_df: An n-gram must occur in this many texts.
        max_features: Largest number of n-grams, those that occur most often; of equals the smaller hash.
        sublinear: Whether a count c in a text weighs 1 + ln(c).

    Source: Sparck Jones 1972, "A Statistical Interpretation of Term Specificity", Journal of Documentation 28.
    Differs: idf = ln((1 + N) / (1 + df)) + 1, as scikit-learn: no division by zero, and no n-gram weighs nothing.
    """
    return _fit(_count(hashes), len(hashes), min_df, max_features, sublinear)[0]


def fit_transform(
    hashes: Ragged, *, min_df: int = 1, max_features: int | None = None, sublinear: bool = False
) -> tuple[Tfidf, SparseRows]:
    """Return what ``fit`` and then ``transform`` return, in little more time than ``fit`` takes."""
    counts = _count(hashes)
    tfidf, places = _fit(counts, len(hashes), min_df, max_features, sublinear)
    return tfidf, _weigh(tfidf, counts, places)


def transform(tfidf: Tfidf, hashes: Ragged) -> SparseRows:
    """Return the weighted rows of a column.

    Args:
        tfidf: A fitted vocabulary.
        hashes: N rows of n-gram hashes, made with the same configuration and salt.
    """
    counts = _count(hashes)
    places = np.searchsorted(tfidf.keys, counts.keys)
    # A place behind the last key cannot be compared with a key, so keys are compared only where there is one.
    known = places < len(tfidf.keys)
    known[known] = tfidf.keys[places[known]] == counts.keys[known]
    places[~known] = -1
    return _weigh(tfidf, counts, places)


def _count(hashes: Ragged) -> _Counts:
    """Return the counts of all keys in all rows; cells (row, column) are sorted in blocks that stay in the cache."""
    # A cell is the number of a row in its block, then the column, in the 31 bits of a positive int32: one sort of plain
    # numbers brings equal (row, column) together. Blocks have no more rows than those bits can count.
    keys, columns = _group(hashes.values)
    num_bits = max(len(keys) - 1, 1).bit_length()
    offsets = np.zeros(len(hashes) + 1, dtype=np.int64)
    # The empty first part gives a column without texts its types.
    parts = [(columns[:0], offsets[:0])]
    for first, last in _row_blocks(hashes.offsets, most_rows=1 << max(31 - num_bits, 0)):
        begins = hashes.offsets[first : last + 1]
        # A view: the cells are computed over the columns, which nobody reads again.
        cells = columns[begins[0] : begins[-1]]
        cells += (np.arange(last - first, dtype=np.int32) << num_bits).repeat(begins[1:] - begins[:-1])
        cells.sort()
        edges = np.concatenate((np.flatnonzero(_differs(cells)), [len(cells)]))
        distinct = cells[edges[:-1]]
        offsets[first + 1 : last + 1] = np.bincount(distinct >> num_bits, minlength=last - first)
        parts.append((distinct & ((1 << num_bits) - 1), edges[1:] - edges[:-1]))
    np.cumsum(offsets, out=offsets)
    columns, counts = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return _Counts(keys, columns, counts, offsets)


def _row_blocks(offsets: IntArray, *, most_rows: int) -> Iterator[tuple[int, int]]:
    """Yield the first row of each block of rows and the one after its last."""
    first = 0
    while first < len(offsets) - 1:
        full = int(np.searchsorted(offsets, offsets[first] + BLOCK_VALUES, side="right")) - 1
        last = min(max(full, first + 1), first + most_rows)
        yield first, last
        first = last


def _group(values: HashArray) -> tuple[HashArray, ColumnArray]:
    """Return the distinct values, ascending, and for each value its place among them.

    Every value writes itself into a small table, at the place that its highest bits name. What stands there afterwards
    is known without sorting: nearly everything if few values are distinct, as with English, else the frequent ones.
    Only the values that another one has overwritten are sorted.
    """
    if len(values) < FEW_VALUES:
        return _group_by_sorting(values)
    shift = np.uint64(64 - TABLE_BITS)
    heads = (values >> shift).view(np.int64)
    table = np.zeros(1 << TABLE_BITS, dtype=np.uint64)
    table[0] = np.uint64(2**64 - 1)  # belongs to the last place, as 0 belongs to the first: so far every place is free
    # Of values with one place the last one written stays; which one that is does not matter.
    table[heads] = values
    is_taken = table >> shift == np.arange(len(table), dtype=np.uint64)
    # A place is the highest bits of its value, so what is read in order of places ascends.
    keys = table[is_taken]
    ranks = np.cumsum(is_taken, dtype=np.int32)
    ranks -= 1
    lost = np.flatnonzero(table.take(heads) != values)
    others, places_of_lost = _group_by_sorting(values[lost])
    # Two ascending lists become one: each key moves up by the others below it, and each other by the keys below it.
    ranks[is_taken] += np.searchsorted(others, keys).astype(np.int32)
    places = ranks.take(heads)
    gaps = np.searchsorted(keys, others)
    places[lost] = (gaps + np.arange(len(others)))[places_of_lost]
    return np.insert(keys, gaps, others), places


def _group_by_sorting(values: HashArray) -> tuple[HashArray, ColumnArray]:
    """Return what ``_group`` returns, with all values sorted at once."""
    order, ordered = _sort(values)
    is_new = _differs(ordered)
    ranks = np.cumsum(is_new, dtype=np.int32)
    ranks -= 1
    places = np.empty_like(ranks)
    places[order] = ranks
    return ordered[is_new], places


def _sort(values: HashArray) -> tuple[IntArray, HashArray]:
    """Return an order that sorts the values, and the values in it.

    numpy sorts 64-bit numbers ten times as fast as it finds their order. So the lowest bits of every hash give way to
    its place; afterwards the few runs of different hashes that agree in the bits above are put right.
    """
    num_bits = np.uint64(max(len(values) - 1, 1).bit_length())
    packed = values >> num_bits << num_bits
    packed |= np.arange(len(values), dtype=np.uint64)
    packed.sort()
    order = (packed & np.uint64((1 << int(num_bits)) - 1)).astype(np.int64)
    ordered = values[order]
    wrong = np.flatnonzero(ordered[1:] < ordered[:-1])
    if len(wrong):
        heads = packed >> num_bits
        mixed = np.flatnonzero(np.isin(heads, heads[wrong]))
        resort = mixed[np.argsort(ordered[mixed])]
        order[mixed], ordered[mixed] = order[resort], ordered[resort]
    return order, ordered


def _differs(values: npt.NDArray[np.generic]) -> npt.NDArray[np.bool_]:
    """Return whether each value differs from the one before it; the first does."""
    differs = np.ones(len(values), dtype=np.bool_)
    np.not_equal(values[1:], values[:-1], out=differs[1:])
    return differs


def _fit(
    counts: _Counts, num_texts: int, min_df: int, max_features: int | None, sublinear: bool
) -> tuple[Tfidf, IntArray]:
    """Return the vocabulary, and for every key of the counts its column there, -1 for none."""
    df = np.bincount(counts.columns, minlength=len(counts.keys))
    kept = df >= min_df
    if max_features is not None and np.count_nonzero(kept) > max_features:
        frequency = np.bincount(counts.columns, weights=counts.counts, minlength=len(counts.keys))
        frequency[~kept] = 0
        # Stable, and keys ascend: of equal frequencies the smaller hash wins, on every machine.
        most = np.argsort(-frequency, kind="stable")[:max_features]
        kept = np.zeros(len(kept), dtype=np.bool_)
        kept[most] = True
    places = np.where(kept, np.cumsum(kept) - 1, -1)
    idf = np.log((1 + num_texts) / (1 + df[kept])) + 1
    return Tfidf(counts.keys[kept], idf.astype(np.float32), sublinear), places


def _weigh(tfidf: Tfidf, counts: _Counts, places: IntArray) -> SparseRows:
    """Return the rows, given every key's column in the vocabulary or -1."""
    columns, tf, offsets = places.astype(np.int32).take(counts.columns), counts.counts, counts.offsets
    num_texts = len(offsets) - 1
    num_unknown_N = np.zeros(num_texts, dtype=np.int64)
    if not (places >= 0).all():
        is_known = columns >= 0
        rows = np.arange(num_texts).repeat(offsets[1:] - offsets[:-1])
        num_unknown_N += np.bincount(rows[~is_known], weights=tf[~is_known], minlength=num_texts).astype(np.int64)
        columns, tf = columns[is_known], tf[is_known]
        offsets = np.concatenate(([0], np.cumsum(np.bincount(rows[is_known], minlength=num_texts))))
    values = tfidf.idf.take(columns)
    values *= 1 + np.log(tf.astype(np.float32)) if tfidf.sublinear else tf.astype(np.float32)
    lengths_N = offsets[1:] - offsets[:-1]
    is_filled_N = lengths_N > 0
    if len(values):
        # reduceat gives an empty row the value that follows it, so it is asked only for rows that have values.
        norms = np.sqrt(np.add.reduceat(values * values, offsets[:-1][is_filled_N]))
        values /= norms.repeat(lengths_N[is_filled_N])
    return SparseRows(columns, values, offsets, num_unknown_N)


def top_terms_by_class(
    rows: SparseRows, targets_NC: FloatArray, tfidf: Tfidf, *, num_terms: int = 20
) -> list[list[tuple[int, float]]]:
    """Return the n-grams that set each class apart.

    Args:
        rows: Weighted rows of N texts.
        targets_NC: Which text belongs to which class, 1.0 or 0.0, shape (N, C).
        tfidf: The vocabulary of the rows.
        num_terms: How many n-grams a class gets; fewer if no more of them are above the average.

    Returns:
        For every class, best first, hashes and scores: mean weight in the class minus mean weight elsewhere.
        ``ngrams.ngram_strings`` knows the hashes' strings.
    """
    num_texts, num_classes = targets_NC.shape
    num_keys = len(tfidf.keys)
    row_of_value = np.repeat(np.arange(num_texts), np.diff(rows.offsets))
    total = np.bincount(rows.indices, weights=rows.values, minlength=num_keys)
    terms = []
    for column in range(num_classes):
        member_N = targets_NC[:, column] > 0
        mine = np.flatnonzero(member_N[row_of_value])
        inside = np.bincount(rows.indices[mine], weights=rows.values[mine], minlength=num_keys)
        num_members = int(np.count_nonzero(member_N))
        score = inside / max(num_members, 1) - (total - inside) / max(num_texts - num_members, 1)
        terms.append(_best(tfidf.keys, score, num_terms))
    return terms


def _best(keys: HashArray, score: npt.NDArray[np.float64], num_terms: int) -> list[tuple[int, float]]:
    num_terms = min(num_terms, len(score))
    if num_terms == 0:
        return []
    # Only the few best are sorted, by score and then by hash.
    candidates = np.argpartition(-score, num_terms - 1)[:num_terms]
    candidates = candidates[score[candidates] > 0]
    candidates = candidates[np.lexsort((keys[candidates], -score[candidates]))]
    return list(zip(keys[candidates].tolist(), score[candidates].tolist(), strict=True))


def with_strings(terms: list[list[tuple[int, float]]], strings: Mapping[int, str]) -> list[list[tuple[str, float]]]:
    """Return the terms of ``top_terms_by_class`` with strings for hashes; those without one are left out."""
    return [[(strings[key], score) for key, score in best if key in strings] for best in terms]
