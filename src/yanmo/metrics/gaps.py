"""What is counted of hidden tokens that a model guesses, and the measures of it; it knows no model.

The statistics of a row, S = 4: nats, hidden tokens, how many of them are the first guess, and one of the first five.
"""

from __future__ import annotations

import numpy as np

from yanmo.arrays import Doubles, IntArray
from yanmo.metrics.measures import Measure

__all__ = ["GAP_MEASURES", "gap_statistics"]

NATS, TOKENS, FIRST, FIVE = range(4)
NUM_FIRST = 5


def gap_statistics(row_M: IntArray, nats_M: Doubles, ranks_M: IntArray, num_rows: int) -> Doubles:
    """Return what is counted in each row, shape (N, 4).

    Args:
        row_M: The row of each hidden token.
        nats_M: The negative log-likelihood of each.
        ranks_M: 1 where it is the first guess.
        num_rows: N.
    """
    columns = (nats_M, np.ones_like(nats_M), ranks_M == 1, ranks_M <= NUM_FIRST)
    return np.column_stack([np.bincount(row_M, column, minlength=num_rows) for column in columns])


def _share(column: int, most: int) -> Measure:
    def of_sums(sums: Doubles) -> Doubles:
        return np.asarray(sums[..., column] / sums[..., TOKENS])

    among = "the first guess" if most == 1 else f"one of the first {most} guesses"
    return Measure(f"accuracy_at_{most}", of_sums, f"hidden tokens that are {among}", is_second=most == 1)


def _nats(sums: Doubles) -> Doubles:
    return np.asarray(sums[..., NATS] / sums[..., TOKENS])


def _perplexity(sums: Doubles) -> Doubles:
    # Beyond what a float can hold.
    with np.errstate(over="ignore"):
        return np.asarray(np.exp(_nats(sums)))


GAP_MEASURES = (
    Measure("nats_per_hidden_token", _nats, "nats a hidden token", higher_is_better=False, is_rate=False),
    Measure("perplexity_of_gaps", _perplexity, "perplexity of hidden tokens", higher_is_better=False, is_rate=False),
    _share(FIRST, 1),
    _share(FIVE, NUM_FIRST),
)
"""The first is the headline; perplexity is its exponential, by tokens of the model."""
