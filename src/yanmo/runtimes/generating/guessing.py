"""Tokens that may come next, guessed from what followed the same tokens earlier in a text; it knows no model.

Source: Yang et al. 2023, "Inference with Reference", section 3, arXiv:2304.04487; Leviathan et al. 2023, "Fast
Inference from Transformers via Speculative Decoding", arXiv:2211.17192.
Differs: what is drawn is a function of scores, seed and step, so guesses are held against it, and not against a
distribution.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["guess_tokens"]

LONGEST = 4
"""More tokens in common make no better guess."""


def guess_tokens(tokens: Sequence[int], count: int) -> list[int]:
    """Return what followed the last tokens of a text where most of them stood before, the latest such place.

    Args:
        tokens: The text.
        count: The most tokens to return.
    """
    text = np.asarray(tokens)
    # Ends of earlier parts that are like the end of the text, in a growing number of tokens.
    ends = np.flatnonzero(text[:-1] == text[-1])
    best: list[int] = []
    for length in range(1, LONGEST + 1):
        if not len(ends):
            break
        start = int(ends[-1]) + 1
        best = text[start : start + count].tolist()
        ends = ends[ends >= length]
        # A place of which so many tokens stand before it: the text has more than these.
        if len(ends):
            ends = ends[text[ends - length] == text[-1 - length]]
    return best
