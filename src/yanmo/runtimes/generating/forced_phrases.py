"""Phrases that an answer must have: begun where the model begins them, or at its end, and then written whole.

Source: Hokamp, Liu 2017, "Lexically Constrained Decoding for Sequence Generation", section 3, arXiv:1704.07138.
Differs: one beginning is kept, and not a grid of them; a phrase that has begun is not given up; one that the model has
written in other tokens is written.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from yanmo.arrays import FloatArray

__all__ = ["ForcedPhrases"]


class ForcedPhrases:
    """The Constraint protocol of one answer.

    Args:
        phrases: What must be written, each with the tokens that may write it, one list a spelling.
        end_id: The token that ends an answer.
        max_new_tokens: The most tokens of it.
        text_of: From tokens to the text that they are.
    """

    def __init__(
        self,
        phrases: Sequence[Sequence[Sequence[int]]],
        end_id: int,
        max_new_tokens: int,
        text_of: Callable[[Sequence[int]], str],
    ) -> None:
        # A spelling without a token has no beginning that could be forced.
        spelled = ([list(spelling) for spelling in one if spelling] for one in phrases)
        self._missing = [one for one in spelled if one]
        self._text_of = text_of
        self._accepted: list[int] = []
        self._end_id = end_id
        self._room = max_new_tokens
        # What is left of the phrase that has begun, in each spelling that it may still have.
        self._begun: list[list[int]] = []

    def forbid(self, scores_V: FloatArray) -> None:
        """Make the scores of tokens that may not come next minus infinity, in place."""
        if self._begun:
            allowed = [one[0] for one in self._begun]
        elif self._missing and (scores_V.argmax() == self._end_id or self._is_due()):
            self._drop_written()
            if not self._missing:
                return
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
            if self._place_of(token) is not None:
                self._drop_written()
            place = self._place_of(token)
            self._accepted.append(token)
            if place is None:
                return False
            self._begun = self._missing.pop(place)
        else:
            self._accepted.append(token)
        left = [one[1:] for one in self._begun if one[0] == token]
        # A spelling that is whole ends the phrase, whatever longer ones would go on with.
        self._begun = [] if any(not one for one in left) else left
        return False

    def _place_of(self, token: int) -> int | None:
        """Return the first of the missing phrases that a token begins."""
        return next((place for place, one in enumerate(self._missing) if any(s[0] == token for s in one)), None)

    def _drop_written(self) -> None:
        """Leave out what already stands in the answer, whatever its tokens."""
        text = self._text_of(self._accepted)
        wanted = [self._text_of(one[0]).strip() for one in self._missing]
        self._missing = [
            one for one, phrase in zip(self._missing, wanted, strict=True) if not phrase or phrase not in text
        ]

    def _is_due(self) -> bool:
        """Whether there is room for what is missing and the end, and no more."""
        return self._room <= sum(max(map(len, one)) for one in self._missing) + 1
