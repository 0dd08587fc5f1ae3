"""Candidates of several models put together text by text, whatever tokens each model has cut them into.

A text's share is the weighted mean of the probabilities that the members give it; a member that does not name it gives
it nothing.

Legend: N rows, K members.

Source: Rosti et al. 2007, "Combining Outputs from Multiple Machine Translation Systems", section 3 (sentence-level
combination).
Differs: shares are added up, and no feature of a text is looked at.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from msgspec.structs import replace

from yanmo.answers.sequences import Sequences
from yanmo.answers.writings import Writings
from yanmo.arrays import FloatArray, IntArray

__all__ = ["average_candidates"]

MOST = 8
"""So many candidates of a row are kept."""
TINY = 1e-30


def average_candidates(members: Iterable[Writings], weights_K: Sequence[float]) -> Writings:
    """Return the candidates of all members with the weighted mean of their probabilities.

    Args:
        members: What K models have written for the same N rows.
        weights_K: Of each.
    """
    read = list(members)
    firsts = np.cumsum([0, *(len(one.candidates) for one in read)])[:-1].tolist()
    every = Sequences.gathered(
        [
            (np.arange(first, first + len(one.candidates)), one.candidates)
            for first, one in zip(firsts, read, strict=True)
        ]
    )
    shares = (np.exp(every.sums_N()) * np.repeat(weights_K, [len(one.candidates) for one in read])).tolist()
    chosen: list[int] = []
    totals: list[float] = []
    offsets = [0]
    for row in range(len(read[0])):
        bounds = [
            (first + int(one.offsets[row]), first + int(one.offsets[row + 1]))
            for first, one in zip(firsts, read, strict=True)
        ]
        found = _added(bounds, every.texts, shares)
        chosen += [place for place, _ in found]
        totals += [total for _, total in found]
        offsets.append(len(chosen))
    kept = every.take(np.array(chosen, dtype=np.int64))
    return Writings(
        replace(kept, values_M=_scaled(kept.values_M, kept.ends, totals)), np.array(offsets, dtype=np.int64)
    )


def _added(bounds: Sequence[tuple[int, int]], texts: Sequence[str], shares: Sequence[float]) -> list[tuple[int, float]]:
    """Return the best candidates of a row: where each stands of whom most is said, and the sum of what all say.

    Args:
        bounds: Where the candidates of each member begin and end.
        texts: Of all candidates.
        shares: Of all candidates, times the weight of their member.
    """
    totals: dict[str, float] = {}
    places: dict[str, int] = {}
    for start, end in bounds:
        # Of equal texts of one member only the first, which is the best, counts.
        for text, place in {texts[place]: place for place in reversed(range(start, end))}.items():
            totals[text] = totals.get(text, 0.0) + shares[place]
            places[text] = max(places.get(text, place), place, key=lambda one: shares[one])
    ranked = sorted(totals, key=lambda text: -totals[text])[:MOST]
    return [(places[text], totals[text]) for text in ranked]


def _scaled(values_M: FloatArray, ends: IntArray, totals: Sequence[float]) -> FloatArray:
    """Return log-likelihoods of tokens that sum to those of their texts: what differs is spread evenly."""
    lengths, wanted = np.diff(ends), np.log(np.maximum(totals, TINY))
    rows = np.repeat(np.arange(len(lengths)), lengths)
    sums = np.bincount(rows, values_M, minlength=len(lengths))
    return (values_M + np.repeat((wanted - sums) / np.maximum(lengths, 1), lengths)).astype(np.float32)
