"""From the scores of a batch to the next token of each row; numpy, it knows no model and no text.

What is drawn depends on a row's scores, its seed and its step alone, so one seed gives one text in any company.

Source: Fan et al. 2018, "Hierarchical Neural Story Generation", section 5.3 (top-k), arXiv:1805.04833; Holtzman et al.
2020, "The Curious Case of Neural Text Degeneration", section 3.1 (top-p), arXiv:1904.09751; Nguyen et al. 2024,
"Turning Up the Heat", section 3 (min-p), arXiv:2407.01082; Keskar et al. 2019, "CTRL", section 4.1 (repetition),
arXiv:1909.05858.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from yanmo.arrays import FloatArray, IntArray
from yanmo.runtimes.generating.decoding import Constraint, Decoding, seed_of

__all__ = ["NOTHING", "Chooser", "ChosenTokens", "choose_tokens", "log_likelihoods_WV"]

NOTHING = -1
"""Stands for a token where none may come."""
BLOCK = 256
"""Tokens whose weights are summed first: of most of them no running sum is needed then."""
LARGEST_BLOCK = 64
FRACTION = 2.0**-53


class ChosenTokens:
    """The next token of B rows.

    Attributes:
        ids_B: The tokens.
        log_likelihoods_B: Of the tokens in nats, as the model gave them, whatever changed them afterwards.
    """

    __slots__ = ("_logits_BV", "_norms_B", "ids_B", "log_likelihoods_B")

    def __init__(self, ids_B: IntArray, logits_BV: FloatArray) -> None:
        self._logits_BV, self._norms_B = logits_BV, _norms(logits_BV)
        self.ids_B = ids_B
        self.log_likelihoods_B: FloatArray = logits_BV[np.arange(len(ids_B)), ids_B] - self._norms_B

    def best(self, row: int, count: int) -> list[tuple[int, float]]:
        """Return the most likely tokens of a row and their log-likelihoods, the best first."""
        scores_V = self._logits_BV[row]
        ids = _largest(scores_V, count)
        return list(zip(ids.tolist(), (scores_V[ids] - self._norms_B[row]).tolist(), strict=True))


class Chooser:
    """What one row wishes, and what it has written: all that changes its scores.

    Args:
        decoding: The wishes.
        prompt: Its first tokens.
        vocabulary_size: V.
        constraint: What the text must be.
    """

    __slots__ = ("_bias_ids", "_biases", "_constraint", "_counts_V", "_in_prompt_V", "decoding", "num_drawn")

    def __init__(
        self, decoding: Decoding, prompt: Sequence[int], vocabulary_size: int, constraint: Constraint | None = None
    ) -> None:
        self.decoding = decoding
        self.num_drawn = 0
        self._constraint = constraint
        self._bias_ids = np.fromiter(decoding.bias, np.int64)
        self._biases = np.fromiter(decoding.bias.values(), np.float32)
        self._counts_V: FloatArray | None = None
        if decoding.penalizes:
            self._counts_V = np.zeros(vocabulary_size, np.float32)
            self._in_prompt_V = np.zeros(vocabulary_size, np.bool_)
            self._in_prompt_V[list(prompt)] = True

    @property
    def is_plain(self) -> bool:
        """Whether the best token of the model is taken as it is."""
        return self.decoding.temperature == 0 and not self.changes_scores

    @property
    def changes_scores(self) -> bool:
        """Whether scores are changed before the temperature."""
        return self._counts_V is not None or self._constraint is not None or len(self._bias_ids) > 0

    def choose(self, scores_V: FloatArray) -> int:
        """Return a token for a row's scores, which stay as they are.

        Returns:
            The token, or :data:`NOTHING` where the constraint allows none.
        """
        if self.changes_scores:
            scores_V = self._changed(scores_V)
            if not np.isfinite(scores_V.max()):
                return NOTHING
        return self.foresee(scores_V, 0)

    def foresee(self, scores_V: FloatArray, ahead: int) -> int:
        """Return the token that scores give some steps ahead, but for what tokens until then change in them."""
        decoding = self.decoding
        if decoding.temperature == 0:
            return int(scores_V.argmax())
        share = (seed_of(decoding.seed, self.num_drawn + ahead) >> 11) * FRACTION
        if not decoding.filters:
            return _draw(_weights(scores_V, decoding.temperature), share)
        ids, weights = _filtered(scores_V, decoding)
        return int(ids[_draw(weights, share)])

    def take(self, token: int) -> bool:
        """Note what was chosen, and return whether the constraint says that the text is whole."""
        self.num_drawn += 1
        if self._counts_V is not None:
            self._counts_V[token] += 1
        return self._constraint is not None and self._constraint.accept(token)

    def _changed(self, scores_V: FloatArray) -> FloatArray:
        scores_V = scores_V.copy()
        scores_V[self._bias_ids] += self._biases
        if self._counts_V is not None:
            self._penalize(scores_V, self._counts_V)
        if self._constraint is not None:
            self._constraint.forbid(scores_V)
        return scores_V

    def _penalize(self, scores_V: FloatArray, counts_V: FloatArray) -> None:
        decoding = self.decoding
        written = np.flatnonzero(counts_V)
        if decoding.repetition_penalty != 1:
            seen = np.flatnonzero(self._in_prompt_V | (counts_V > 0))
            found, penalty = scores_V[seen], np.float32(decoding.repetition_penalty)
            scores_V[seen] = np.where(found < 0, found * penalty, found / penalty)
        scores_V[written] -= decoding.presence_penalty + decoding.frequency_penalty * counts_V[written]


def choose_tokens(logits_BV: FloatArray, choosers: Sequence[Chooser]) -> ChosenTokens:
    """Return the next token of each row.

    Args:
        logits_BV: The model's scores.
        choosers: B of them, one for each row.
    """
    if all(one.is_plain for one in choosers):
        return ChosenTokens(logits_BV.argmax(axis=1), logits_BV)
    ids = [one.choose(scores_V) for one, scores_V in zip(choosers, logits_BV, strict=True)]
    return ChosenTokens(np.array(ids), logits_BV)


def log_likelihoods_WV(logits_WV: FloatArray) -> FloatArray:
    """Return the log-likelihoods of all tokens, in nats, shape (W, V)."""
    return logits_WV - _norms(logits_WV)[:, None]


def _norms(logits_BV: FloatArray) -> FloatArray:
    largest_B = logits_BV.max(axis=1)
    weights_BV = logits_BV - largest_B[:, None]
    np.exp(weights_BV, out=weights_BV)
    norms_B: FloatArray = np.log(weights_BV.sum(axis=1)) + largest_B
    return norms_B


def _weights(scores_V: FloatArray, temperature: float) -> FloatArray:
    """Return what tokens are drawn by: probabilities, but for a factor by which the best one is 1."""
    weights_V: FloatArray = scores_V - scores_V.max()
    # A temperature next to 0 makes all but the best impossible, which is what is meant.
    with np.errstate(over="ignore"):
        # Not 0, which float32 makes of the least temperatures: 0 by 0 is no weight.
        weights_V /= max(np.float32(temperature), np.finfo(np.float32).tiny)
    np.exp(weights_V, out=weights_V)
    return weights_V


def _draw(weights_V: FloatArray, share: float) -> int:
    """Return a place, each with the probability of its weight: the one at a share, in [0, 1), of all weights."""
    starts = _starts(len(weights_V))
    sums = np.cumsum(np.add.reduceat(weights_V, starts), dtype=np.float64)
    wanted = share * sums[-1]
    block = min(int(np.searchsorted(sums, wanted, side="right")), len(starts) - 1)
    inside = weights_V[starts[block] : starts[block] + BLOCK]
    before = sums[block - 1] if block else 0.0
    running = np.cumsum(inside, dtype=np.float64)
    # Rounding may leave the wanted sum behind the block's last one; what is drawn must have a weight.
    place = int(np.searchsorted(running, min(wanted - before, np.nextafter(running[-1], 0)), side="right"))
    return int(starts[block]) + place


@cache
def _starts(size: int) -> IntArray:
    return np.arange(0, size, BLOCK)


def _filtered(scores_V: FloatArray, decoding: Decoding) -> tuple[IntArray, FloatArray]:
    """Return the tokens that may be drawn, and their weights."""
    if 0 < decoding.top_k < len(scores_V):
        ids = _largest(scores_V, decoding.top_k)
        weights = _weights(scores_V[ids], decoding.temperature)
        total = float(weights.sum(dtype=np.float64))
    else:
        weights_V = _weights(scores_V, decoding.temperature)
        total = float(weights_V.sum(dtype=np.float64))
        # What is certainly left out is left out first, and only the rest is sorted: tokens whose probability is below
        # (1 - top_p) / V have less than 1 - top_p together.
        ids = np.flatnonzero(weights_V >= max(decoding.min_p, (1 - decoding.top_p) * total / len(weights_V)))
        weights = weights_V[ids]
    if decoding.top_p < 1:
        order = np.argsort(-weights, kind="stable")
        ids, weights = ids[order], weights[order]
        # The token by which the sum is reached belongs to it.
        count = int(np.searchsorted(np.cumsum(weights, dtype=np.float64), decoding.top_p * total)) + 1
        ids, weights = ids[:count], weights[:count]
    is_kept = weights >= decoding.min_p
    return ids[is_kept], weights[is_kept]


def _largest(scores_V: FloatArray, count: int) -> IntArray:
    """Return the places of the largest scores, the largest first; of equal ones the earlier."""
    count = min(count, len(scores_V))
    # At least so many scores reach the count-th largest maximum of all blocks, so the others need no sorting.
    blocks: Any = np.maximum.reduceat(scores_V, np.arange(0, len(scores_V), LARGEST_BLOCK))
    bound = np.partition(blocks, -count)[-count] if count <= len(blocks) else -np.inf
    places = np.flatnonzero(scores_V >= bound)
    return places[np.argsort(-scores_V[places], kind="stable")[:count]]
