"""95 % intervals: resampled sums of what was counted in each row, for any number of models, and Wilson's interval.

A score depends on a row only through what was counted in it, so rows with one pattern of counts are drawn together.
That makes 2,000 resamples of a million rows as cheap as of a thousand. Values that differ in every row, such as the log
loss, are drawn row by row.

"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from yanmo.arrays import Array, Doubles, IntArray

__all__ = ["Interval", "percentile_interval", "resample_statistics", "resample_sums", "wilson_interval"]

# 32 MB of float64 at a time.
CHUNK_CELLS = 4_000_000
# Drawing one pattern's count from a multinomial takes as long as drawing about so many rows.
MULTINOMIAL_COST = 8
Z_95 = 1.959963984540054

Interval = tuple[float, float]


def resample_statistics(statistics: Sequence[Array], *, num_resamples: int, seed: int) -> list[Doubles]:
    """Return sums of what was counted, over rows that are drawn with replacement; all models see the same draws.

    Args:
        statistics: Of K models the counts of each row, each of shape (N, S), N >= 1; bool where they are yes or no.
        num_resamples: How many times N rows are drawn.
        seed: Of the draws.

    Returns:
        K arrays, float64, shape (num_resamples, S).

    Source: Efron, Tibshirani 1993, "An Introduction to the Bootstrap", chapter 6.
    Differs: Patterns of rows are drawn, not rows; the distribution is the same.
    """
    first_U, counts_U = _patterns(statistics)
    patterns = [rows_NS[first_U].astype(np.float64) for rows_NS in statistics]
    parts: list[list[Doubles]] = [[] for _ in statistics]
    for weights_RU in _draws(counts_U, num_resamples, np.random.default_rng(seed)):
        for found, rows_US in zip(parts, patterns, strict=True):
            found.append(weights_RU @ rows_US)
    return [np.concatenate(found) for found in parts]


def percentile_interval(scores_R: Doubles) -> Interval | None:
    """Return the 2.5th and the 97.5th percentile of resampled scores; None if no resample has the score."""
    defined = scores_R[~np.isnan(scores_R)]
    if not len(defined):
        return None
    low, high = np.percentile(defined, (2.5, 97.5))
    return float(low), float(high)


def resample_sums(values_NV: Doubles, *, num_resamples: int, seed: int) -> Doubles:
    """Return the sums of V columns over N rows that are drawn with replacement, shape (num_resamples, V)."""
    num_rows, generator = len(values_NV), np.random.default_rng(seed)
    size = max(1, CHUNK_CELLS // num_rows)
    parts = []
    for start in range(0, num_resamples, size):
        number = min(size, num_resamples - start)
        # Every resample counts in a range of its own, so one bincount counts all of a chunk.
        drawn = generator.integers(0, num_rows, (number, num_rows)) + np.arange(number)[:, None] * num_rows
        weights_RN = np.bincount(drawn.ravel(), minlength=number * num_rows).reshape(number, num_rows)
        parts.append(weights_RN.astype(np.float64) @ values_NV)
    return np.concatenate(parts)


def wilson_interval(num_right: int, num_rows: int) -> Interval | None:
    """Return the 95 % interval of a share, honest even where all rows or none are right; None without rows.

    Source: Wilson 1927, "Probable inference, the law of succession, and statistical inference".
    """
    if not num_rows:
        return None
    share, spread = num_right / num_rows, Z_95**2 / num_rows
    center = (share + spread / 2) / (1 + spread)
    margin = Z_95 * float(np.sqrt(share * (1 - share) / num_rows + spread / (4 * num_rows))) / (1 + spread)
    # Rounding must not put the share itself outside of its interval.
    return max(0.0, min(center - margin, share)), min(1.0, max(center + margin, share))


def _patterns(arrays: Sequence[Array]) -> tuple[IntArray, IntArray]:
    """Return the first row of every distinct pattern and how many rows have it; rows of yes and no are packed."""
    if all(one.dtype == np.bool_ for one in arrays):
        packed = np.ascontiguousarray(np.packbits(np.hstack(arrays), axis=1))
    else:
        packed = np.ascontiguousarray(np.hstack(arrays).astype(np.float64)).view(np.uint8)
    # A row becomes one opaque value of some bytes, so that np.unique compares whole rows and not column after column.
    rows = packed.view(np.dtype((np.void, packed.shape[1]))).ravel()
    _, first_U, counts_U = np.unique(rows, return_index=True, return_counts=True)
    return first_U.astype(np.int64), counts_U.astype(np.int64)


def _draws(counts_U: IntArray, num_resamples: int, generator: np.random.Generator) -> Iterator[Doubles]:
    """Yield how often each pattern is drawn, in chunks of resamples, float64, shape (R, U)."""
    num_rows, num_patterns = int(counts_U.sum()), len(counts_U)
    as_cells = MULTINOMIAL_COST * num_patterns < num_rows
    size = max(1, CHUNK_CELLS // (num_patterns if as_cells else num_rows))
    # Row to pattern; where counts are drawn at once, nobody asks for it, so it stays empty.
    owner_N = np.repeat(np.arange(num_patterns), 0 if as_cells else counts_U)
    for start in range(0, num_resamples, size):
        number = min(size, num_resamples - start)
        if as_cells:
            yield generator.multinomial(num_rows, counts_U / num_rows, size=number).astype(np.float64)
            continue
        cells = owner_N[generator.integers(0, num_rows, (number, num_rows))]
        cells += np.arange(number)[:, None] * num_patterns
        drawn = np.bincount(cells.ravel(), minlength=number * num_patterns)
        yield drawn.reshape(number, num_patterns).astype(np.float64)
