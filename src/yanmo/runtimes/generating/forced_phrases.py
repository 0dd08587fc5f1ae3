"""Phrases that an answer must have: begun where the model begins them, or at its end, and then written whole.

Source: Hokamp, Liu 2017, "Lexically Constrained Decoding for Sequence Generation", section 3, arXiv:1704.07138.
Differs: one beginning is kept, and not a grid of them; a phrase that has begun is not given up.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from yanmo.arrays import FloatArray

__all__ = ["ForcedPhrases"]


class ForcedPhrases:
    """The Constraint protocol of one answer.

    Args:
        phrases: What must be written, each with the tokens that may write it, one list a spelling.
        end_id: The token that ends an answer.
        max_new_tokens: The most tokens of it.
    """

    def __init__(self, phrases: Sequence[Sequence[Sequence[int]]], end_id: int, max_new_tokens: int) -> None:
        self._missing = [[list(spelling) for spelling in one] for one in phrases]
        self._end_id = end_id
        self._room = max_new_tokens
        # What is left of the phrase that has begun, in each spelling that it may still have.
        self._begun: list[list[int]] = []

    def forbid(self, scores_V: FloatArray) -> None:
        """Make the scores of tokens that may not come next minus infinity, in place."""
        if self._begun:
            allowed = [one[0] for one in self._begun]
        elif self._missing and (scores_V.argmax() == self._end_id or self._is_due()):
            allowed = [spelling[0] for one in self._missing for spelling in one]
        else:
            return
        kept = scores_V[allowed]
        scores_V[:] = -np.inf
        scores_V[allowed] = kept

    def accept(self, token: int) -> bool:
        """Take a token; return False, for the end is a token, too."""
        self._room -= 1
        if not self._begun:
            place = next((place for place, one in enumerate(self._missing) if any(s[0] == token for s in one)), None)
            if place is None:
                return False
            self._begun = self._missing.pop(place)
        left = [one[1:] for one in self._begun if one[0] == token]
        # A spelling that is whole ends the phrase, whatever longer ones would go on with.
        self._begun = [] if any(not one for one in left) else left
        return False

    def _is_due(self) -> bool:
        """Whether there is room for what is missing and the end, and no more."""
        return self._room <= sum(max(map(len, one)) for one in self._missing) + 1
