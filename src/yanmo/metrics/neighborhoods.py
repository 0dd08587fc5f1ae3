"""Whether two models agree which texts are alike: rank correlation of similarities; it knows no model and no text.

Legend: N texts, D dimensions of a vector, K texts that each is held against.
"""

from __future__ import annotations

import numpy as np

from yanmo.arrays import Doubles, FloatArray, IntArray
from yanmo.metrics.measures import Measure

__all__ = ["NEIGHBORHOOD_MEASURES", "rank_statistics"]

MOST_COMPARED = 1000
"""Each text is held against at most so many, evenly spread over all."""


def rank_statistics(ours_ND: FloatArray, theirs_ND: FloatArray) -> Doubles:
    """Return of each text how alike two models order the others by their similarity to it, and 1, shape (N, 2).

    Args:
        ours_ND: Vectors of length 1 of one model.
        theirs_ND: Those of another one, of the same texts; their dimensions may differ.

    Source: Spearman 1904, "The Proof and Measurement of Association between Two Things", American Journal of
        Psychology 15(1).
    Differs: a correlation for each text, of the cosines with the others, and the mean of these; so it has an interval.
    """
    num_texts = len(ours_ND)
    compared = np.unique(np.linspace(0, max(num_texts - 1, 0), MOST_COMPARED).round().astype(np.int64))
    correlations_N = np.ones(num_texts)
    for row in range(num_texts):
        others = compared[compared != row]
        if len(others) > 1:
            ours, theirs = (_ranks(one[others] @ one[row]) for one in (ours_ND, theirs_ND))
            correlations_N[row] = _correlation(ours, theirs)
    return np.stack((correlations_N, np.ones(num_texts)), axis=1)


def _ranks(values_K: FloatArray) -> Doubles:
    """Return the rank of each value, from 0; equal ones share the mean of theirs."""
    _, place_K, counts = np.unique(values_K, return_inverse=True, return_counts=True)
    ends: IntArray = np.cumsum(counts)
    return np.asarray((ends - (counts + 1) / 2)[place_K], dtype=np.float64)


def _correlation(ours_K: Doubles, theirs_K: Doubles) -> float:
    ours_K, theirs_K = ours_K - ours_K.mean(), theirs_K - theirs_K.mean()
    lengths = float(np.sqrt((ours_K @ ours_K) * (theirs_K @ theirs_K)))
    # Where all are equally far there is no order; two models that both say so agree.
    return float(ours_K @ theirs_K) / lengths if lengths else float(not ours_K.any() and not theirs_K.any())


NEIGHBORHOOD_MEASURES = (
    Measure("rank_correlation", lambda sums: sums[..., 0] / sums[..., 1], "rank correlation of similarities"),
)
"""Of vectors held against those of another model."""
