"""What writes texts for others asks of a model: texts are read together, and beginnings of answers grow step by step.

It knows ids and no text, and neither engine nor wishes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from yanmo.arrays import FloatArray, IntArray

__all__ = ["Drafts", "NextScores", "ReadingSession", "places_left"]


class NextScores(NamedTuple):
    """How likely tokens are next in R rows; overwritten by the next step.

    Attributes:
        best_RK: The log-likelihoods of the most likely tokens in nats, the best first.
        ids_RK: These tokens.
        log_likelihoods_RV: Of all tokens.
    """

    best_RK: FloatArray
    ids_RK: IntArray
    log_likelihoods_RV: FloatArray


class Drafts(Protocol):
    """Beginnings of answers to B texts, as many of each; R rows in all, those of one text beside each other."""

    def step(self, ids_R: IntArray) -> NextScores:
        """Let every row grow by a token, and return how likely the next ones are."""
        ...

    def reorder(self, sources_R: Sequence[int]) -> None:
        """Let every row go on as what another one of the same text was."""
        ...

    def drop(self, texts: Sequence[int]) -> list[int]:
        """Let go of texts; those at the end take their places.

        Returns:
            Which text stands at each place now.
        """
        ...


class ReadingSession(Protocol):
    """A loaded model."""

    def read(self, ids_BS: IntArray, lengths_B: IntArray, *, num_beams: int, num_best: int) -> Drafts:
        """Read texts, and begin answers.

        Args:
            ids_BS: Their tokens, padded.
            lengths_B: Their numbers.
            num_beams: Rows of each text.
            num_best: Tokens of which it is told which are the most likely.
        """
        ...


def places_left(num_texts: int, gone: Sequence[int]) -> list[int]:
    """Return which text stands at each place when some let go of theirs: those at the end take them.

    Args:
        num_texts: Texts before.
        gone: Those of which nothing is left.
    """
    order = list(range(num_texts))
    for text in sorted(gone, reverse=True):
        last = order.pop()
        if text < len(order):
            order[text] = last
    return order
