"""Whether the inputs have changed since the model was made: counts against the Bundle's profile; it knows no HTTP.

Four distributions are compared: length, share of unknown tokens, class, confidence. Each is counted in the profile's
own bins over the last texts, and held against the profile by the population stability index.

Source: Yurdakul 2018, "Statistical Properties of Population Stability Index", Western Michigan University, chapter 2.
Differs: every bin is smoothed by half a count, so that an empty one is no infinity.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from yanmo.arrays import FloatArray, IntArray
from yanmo.artifacts.bundle import Bundle
from yanmo.artifacts.profile import InputProfile, read_input_profile
from yanmo.serving.answering import BatchAnswer

__all__ = ["THRESHOLD", "Drift", "stability_index"]

THRESHOLD = 0.25
"""An index above this is the usual word for a population that has shifted."""
# Of fewer texts the index is large by chance alone.
MIN_TEXTS = 200
WINDOW_TEXTS = 2000


class Drift:
    """Counts of the last texts against a Bundle's profile; without one nothing is ever said to have changed."""

    def __init__(self, bundle: Bundle) -> None:
        self._profile: InputProfile | None = read_input_profile(bundle)
        self._counts = self._empty()
        self._before = self._empty()
        self._num_texts = 0

    @property
    def is_watching(self) -> bool:
        """Whether there is a profile."""
        return self._profile is not None

    @property
    def changed(self) -> int:
        """1 if a statistic is above ``THRESHOLD``."""
        return int(any(value > THRESHOLD for value in self.statistics().values()))

    def statistics(self) -> dict[str, float]:
        """Return the index of each distribution; none before ``MIN_TEXTS`` texts or without a profile."""
        if self._profile is None or sum(self._counts["length"]) + sum(self._before["length"]) < MIN_TEXTS:
            return {}
        expected = self._profile.shares()
        return {name: stability_index(expected[name], self._counts[name] + self._before[name]) for name in self._counts}

    def add(self, batch: BatchAnswer) -> None:
        """Count a batch."""
        if self._profile is None:
            return
        tokens_N, unknown_N = np.asarray(batch.num_tokens), np.asarray(batch.num_unknown)
        confidence_N = np.asarray([answer.probability for answer in batch.answers])
        # Of a task without labels there are none, which would be no integers by themselves.
        given_C = np.asarray(batch.num_given, dtype=np.int64)
        found = self._profile.count(tokens_N, unknown_N, confidence_N, given_C)
        for name, counts in found.items():
            self._counts[name] += counts
        self._num_texts += len(batch.answers)
        if self._num_texts >= WINDOW_TEXTS:
            # The window before still counts, so that the statistics never begin from nothing.
            self._before, self._counts, self._num_texts = self._counts, self._empty(), 0

    def _empty(self) -> dict[str, IntArray]:
        shares: Mapping[str, Sequence[float]] = self._profile.shares() if self._profile is not None else {}
        return {name: np.zeros(len(values), dtype=np.int64) for name, values in shares.items()}


def stability_index(expected: Sequence[float] | FloatArray, counts_K: IntArray) -> float:
    """Return the population stability index of counts against expected shares; 0 where they are equal.

    Args:
        expected: Shares of K bins, which sum to 1.
        counts_K: What was counted in each bin.
    """
    num_texts, num_bins = int(counts_K.sum()), len(counts_K)
    found_K = (counts_K + 0.5) / (num_texts + 0.5 * num_bins)
    wanted_K = (np.asarray(expected) * num_texts + 0.5) / (num_texts + 0.5 * num_bins)
    return float(np.sum((found_K - wanted_K) * np.log(found_K / wanted_K)))
