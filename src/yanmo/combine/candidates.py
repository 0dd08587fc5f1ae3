"""The mean of what several models say of written texts: each text has the mean of the probabilities that they give it.

Models cut texts into tokens of their own, so whole texts are what they have in common. A text that a model has not
among its candidates has nothing from it. It fits nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from yanmo.answers.sequences import Sequences
from yanmo.answers.writings import Writings
from yanmo.arrays import Doubles

__all__ = ["average_candidates"]

TINY = 1e-30
"""The least probability of a text: of some the logarithm would be infinite."""


def average_candidates(members: Iterable[Writings], weights_K: Sequence[float]) -> Writings:
    """Return all candidates of K members, those with the largest mean probability first.

    The tokens of a candidate are those of the member that thinks it the likeliest; what they are less likely now, each
    of them has an equal part of.

    Args:
        members: K Writings about the same rows.
        weights_K: Of each.
    """
    every = list(members)
    offered = [one.candidates for one in every]
    shares = [weight * np.exp(one.sums_N()) for weight, one in zip(weights_K, offered, strict=True)]
    first_K = np.cumsum([0, *(len(one) for one in offered)])
    pooled, shares_M = _joined(offered), np.concatenate(shares)
    chosen: list[int] = []
    wanted: list[float] = []
    counts: list[int] = []
    for row in range(len(every[0])):
        places = [
            place + int(first)
            for one, first in zip(every, first_K, strict=False)
            for place in range(int(one.offsets[row]), int(one.offsets[row + 1]))
        ]
        ranked = _ranked(places, pooled.texts, shares_M)
        chosen += [place for place, _ in ranked]
        wanted += [share for _, share in ranked]
        counts.append(len(ranked))
    taken = pooled.take(np.array(chosen, dtype=np.int64))
    lengths = np.maximum(np.diff(taken.ends), 1)
    missing = np.log(np.maximum(wanted, TINY)) - taken.sums_N()
    values_M = taken.values_M + (missing / lengths)[taken.row_M]
    offsets = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
    return Writings(Sequences(values_M.astype(np.float32), taken.ends, taken.places, taken.texts), offsets)


def _joined(parts: Sequence[Sequences]) -> Sequences:
    starts = np.cumsum([0, *(len(one) for one in parts)])
    return Sequences.gathered([(np.arange(len(one)) + start, one) for one, start in zip(parts, starts, strict=False)])


def _ranked(places: Sequence[int], texts: Sequence[str], shares_M: Doubles) -> list[tuple[int, float]]:
    """Return one place of each text, and the sum of the shares of all of its places, the largest first."""
    sums: dict[str, float] = {}
    best: dict[str, int] = {}
    for place in places:
        text = texts[place]
        sums[text] = sums.get(text, 0.0) + float(shares_M[place])
        if text not in best or shares_M[place] > shares_M[best[text]]:
            best[text] = place
    # Of equal ones the first that was found is the first, so that the same comes out everywhere.
    return [(best[text], share) for text, share in sorted(sums.items(), key=lambda one: -one[1])]
