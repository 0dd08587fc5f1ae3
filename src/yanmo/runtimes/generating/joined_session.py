"""Several models that write token by token together: each next token has the mean of their probabilities.

They must cut texts into the same tokens; it knows ids, and neither text nor engine.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from yanmo.arrays import FloatArray, IntArray
from yanmo.errors import ModelError
from yanmo.runtimes.generating.drafts import Drafts, NextScores, ReadingSession

__all__ = ["JoinedSession"]

LEAST = np.finfo(np.float32).tiny
"""What a token has at least, so that its logarithm is finite."""


class JoinedSession:
    """The ReadingSession protocol over other sessions.

    Args:
        sessions: Of models with one tokenizer; nobody else may use them meanwhile.

    Source: Sutskever, Vinyals, Le 2014, arXiv:1409.3215, section 3.6 (ensembles of models that write).
    """

    def __init__(self, sessions: Sequence[ReadingSession]) -> None:
        self._sessions = list(sessions)

    def read(self, ids_BS: IntArray, lengths_B: IntArray, *, num_beams: int, num_best: int) -> _JoinedDrafts:
        """Let every model read texts, and begin answers."""
        # Which tokens are the best is found in the mean, so no model has to tell more than one.
        drafts = [one.read(ids_BS, lengths_B, num_beams=num_beams, num_best=1) for one in self._sessions]
        return _JoinedDrafts(drafts, num_best)


class _JoinedDrafts:
    """The Drafts protocol."""

    def __init__(self, drafts: Sequence[Drafts], num_best: int) -> None:
        self._drafts = drafts
        self._num_best = num_best

    def step(self, ids_R: IntArray) -> NextScores:
        """Let every row grow by a token, and return how likely the next ones are."""
        found = [one.step(ids_R).log_likelihoods_RV for one in self._drafts]
        sizes = sorted({one.shape[1] for one in found})
        if len(sizes) > 1:
            raise ModelError(
                f"Models that write together must score the same tokens. Got {' and '.join(map(str, sizes))} instead.",
                hint="Their tables of tokens have rows beyond the tokenizer's: make them equally long.",
            )
        total_RV = sum(np.exp(one) for one in found)
        likelihoods_RV = np.log(np.maximum(total_RV / np.float32(len(self._drafts)), LEAST))
        ids_RK = _best(likelihoods_RV, self._num_best)
        return NextScores(np.take_along_axis(likelihoods_RV, ids_RK, axis=1), ids_RK, likelihoods_RV)

    def reorder(self, sources_R: Sequence[int]) -> None:
        """Let every row go on as what another one of the same text was."""
        for one in self._drafts:
            one.reorder(sources_R)

    def drop(self, texts: Sequence[int]) -> list[int]:
        """Let go of texts; those at the end take their places, in the same way in every model."""
        first, *others = self._drafts
        for one in others:
            one.drop(texts)
        return first.drop(texts)


def _best(likelihoods_RV: FloatArray, count: int) -> IntArray:
    """Return the most likely tokens of each row, the best first, of equal ones the first."""
    count = min(count, likelihoods_RV.shape[1])
    if count == 1:
        return np.asarray(likelihoods_RV.argmax(axis=1)[:, None], np.int64)
    found_RK = np.sort(np.argpartition(-likelihoods_RV, count - 1, axis=1)[:, :count], axis=1)
    order_RK = np.argsort(-np.take_along_axis(likelihoods_RV, found_RK, axis=1), axis=1, kind="stable")
    best_RK: IntArray = np.take_along_axis(found_RK, order_RK, axis=1)
    return best_RK
