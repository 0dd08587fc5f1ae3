"""What stands around a network that guesses hidden tokens: texts to rows, its scores of the vocabulary to Gaps.

A vocabulary has tens of thousands of scores for each place, so of every batch only what is told is kept: how likely the
token is that stands there and the how manieth, or the best candidates of a gap.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from yanmo.answers.gaps import Gaps, GapWords
from yanmo.answers.sequences import Sequences
from yanmo.arrays import FloatArray, IntArray
from yanmo.artifacts.bundle import Bundle
from yanmo.errors import InternalError
from yanmo.protocols import Inference
from yanmo.runtimes.batching import Condenser, pool_windows
from yanmo.text.gap_tokens import HiddenTokens, MaskingTokenizer
from yanmo.text.inputs import Inputs, Windows
from yanmo.text.tokenizer import Encoded, open_tokenizer

__all__ = ["GapHead"]

NUM_CANDIDATES = 20
"""Of each gap so many are told at most."""


class GapHead:
    """Hidden places of texts, each a choice among the tokens of the vocabulary."""

    def __init__(self, bundle: Bundle) -> None:
        tokenizer = open_tokenizer(bundle.path / "tokenizer.json")
        self._tokenizer = MaskingTokenizer(tokenizer, bundle.max_length)
        # The table of a network may be longer than its tokenizer's.
        self._vocab_size = int(bundle.architecture.get("vocab_size", tokenizer.get_vocab_size()))
        self._num_candidates = min(NUM_CANDIDATES, self._vocab_size)

    @property
    def num_outputs(self) -> int:
        """One score a token of the vocabulary."""
        return self._vocab_size

    def encode(self, inputs: Inputs, *, windows: Windows | None = None) -> HiddenTokens:
        """Return the rows of N cleaned texts."""
        return self._tokenizer.encode(inputs.first, windows=windows)

    def condenser(self, encoded: Encoded) -> Condenser:
        """Return what keeps of each place how likely what stands there is, the how manieth, and the candidates."""
        hidden, num_candidates = _hidden(encoded), self._num_candidates

        def condense(logits_MV: FloatArray, places_M: IntArray) -> FloatArray:
            return _condensed(logits_MV, hidden.answers_M[places_M], num_candidates)

        return Condenser(2 + 2 * num_candidates, condense)

    def read(self, scores_WC: FloatArray, encoded: Encoded, num_cells: int) -> Inference[Gaps]:
        """Return what is said of the hidden places, from what the condenser has kept."""
        columns_MC, found = pool_windows(encoded, scores_WC, num_cells)
        hidden = _hidden(encoded)
        if hidden.units is None:
            raise InternalError("What was read of texts does not say where something is hidden.")
        places, is_gap_M = hidden.units.places, hidden.answers_M < 0
        kept = _Kept(*np.split(columns_MC, [1, 2, 2 + self._num_candidates], axis=1))
        ids_K = kept.ids_MK[is_gap_M].astype(np.int64).reshape(-1)
        counts_M = np.where(is_gap_M, self._num_candidates, 0)
        words = GapWords(
            np.ascontiguousarray(kept.values_MK[is_gap_M]).reshape(-1),
            ids_K,
            [self._tokenizer.word(one) for one in ids_K.tolist()],
            np.concatenate(([0], np.cumsum(counts_M))).astype(np.int64),
        )
        values_M = np.ascontiguousarray(kept.value_M1[:, 0])
        tokens = Sequences(values_M, places.offsets, places.values, list(hidden.texts))
        return Inference(Gaps(tokens, kept.rank_M1[:, 0].astype(np.int64), words), found)


class _Kept(NamedTuple):
    value_M1: FloatArray
    rank_M1: FloatArray
    ids_MK: FloatArray
    values_MK: FloatArray


def _hidden(encoded: Encoded) -> HiddenTokens:
    if not isinstance(encoded, HiddenTokens):
        raise InternalError("A head for gaps was given texts in which nothing is hidden.")
    return encoded


def _condensed(logits_MV: FloatArray, answers_M: IntArray, num_candidates: int) -> FloatArray:
    """Return one row a place: log-likelihood, rank, candidates, their log-likelihoods. Ids below 2 ** 24 are exact."""
    top_M1 = logits_MV.max(axis=1, keepdims=True)
    totals_M1 = top_M1 + np.log(np.exp(logits_MV - top_M1).sum(axis=1, keepdims=True))
    kept_MC = np.zeros((len(logits_MV), 2 + 2 * num_candidates), dtype=np.float32)
    known, gaps = np.flatnonzero(answers_M >= 0), np.flatnonzero(answers_M < 0)
    own_M1 = np.take_along_axis(logits_MV[known], answers_M[known][:, None], axis=1)
    kept_MC[known, 0] = (own_M1 - totals_M1[known])[:, 0]
    kept_MC[known, 1] = 1 + (logits_MV[known] > own_M1).sum(axis=1)
    # Stable, so that of equal scores the smaller id comes first in every run.
    best_MK = np.argsort(-logits_MV[gaps], axis=1, kind="stable")[:, :num_candidates]
    values_MK = np.take_along_axis(logits_MV[gaps], best_MK, axis=1) - totals_M1[gaps]
    kept_MC[gaps, 0] = values_MK[:, 0]
    kept_MC[gaps, 2 : 2 + num_candidates] = best_MK
    kept_MC[gaps, 2 + num_candidates :] = values_MK
    return kept_MC
