"""Answers that have begun to repeat themselves: told by tokens that come in a row again and again; it knows no model.

A model that always takes the likeliest token may write a few tokens over and over, up to the most that it may. Some
texts repeat themselves rightly, such as a number with many zeros, and then the text that is read does, too.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from yanmo.arrays import IntArray

__all__ = ["Repeats", "most_in_a_row"]

MAX_COMPARED = 2**24
"""Characters that are compared in a text, at most: in one of 4,096 all that may come again is found, however long."""


class Repeats:
    """The cycles at the ends of B answers that grow a token a step.

    Args:
        limits_B: An answer is over once its last tokens, however many, have come so many times in a row; from 2.
        max_new_tokens: The most tokens of an answer.

    Attributes:
        ended: The answers that are over for this.
    """

    def __init__(self, limits_B: IntArray, max_new_tokens: int) -> None:
        self._limits_B = limits_B
        self._ids_BT = np.zeros((len(limits_B), max_new_tokens), np.int64)
        # How many tokens at the end of each answer are those that stand a period before them.
        longest = max_new_tokens // int(limits_B.min(initial=2))
        self._same_BP = np.zeros((len(limits_B), longest), np.int64)
        self._num_steps = 0
        self.ended: list[int] = []

    def step(self, texts_R: IntArray, ids_R: IntArray) -> list[int]:
        """Take the next token of each answer that is still written, and return the places of those that are over."""
        place, width = self._num_steps, min(self._num_steps, self._same_BP.shape[1])
        self._num_steps += 1
        self._ids_BT[texts_R, place] = ids_R
        if not width:
            return []
        # The token before comes first, for the shortest period is 1.
        before_RP = self._ids_BT[texts_R, place - width : place][:, ::-1]
        same_RP = np.where(before_RP == ids_R[:, None], self._same_BP[texts_R, :width] + 1, 0)
        self._same_BP[texts_R, :width] = same_RP
        counts_R = (same_RP // np.arange(1, width + 1)).max(axis=1) + 1
        over = np.flatnonzero(counts_R >= self._limits_B[texts_R])
        self.ended += texts_R[over].tolist()
        return over.tolist()


def most_in_a_row(text: str, least: int = 2) -> int:
    """Return how many times the same characters come in a row at most, at some place of a text.

    The last time counts as soon as it begins, for it ends as the others do where an answer has another end.

    Args:
        text: The text.
        least: From how many on they must be found; fewer may be told as 1.
    """
    codes_T = np.array(list(map(ord, text)), np.int64)
    most = 1
    longest = min((len(codes_T) - 1) // (least - 1), MAX_COMPARED // max(1, len(codes_T)))
    for period in range(1, longest + 1):
        is_same_T = codes_T[period:] == codes_T[:-period]
        most = max(most, -(-_longest_run(is_same_T) // period) + 1)
    return most


def _longest_run(is_true_T: npt.NDArray[np.bool_]) -> int:
    """Return the length of the longest part that is true all along."""
    breaks = np.flatnonzero(np.concatenate(([True], ~is_true_T, [True])))
    return int(np.diff(breaks).max()) - 1
