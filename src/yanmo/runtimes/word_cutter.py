"""The segmenter inside of a parser's Bundle: where the words of raw texts are; it knows no parser and opens no file."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Protocol

import numpy as np

from yanmo.answers.answered import Span
from yanmo.arrays import Ragged
from yanmo.text.inputs import Inputs
from yanmo.text.unit_places import unit_places

__all__ = ["WordCutter"]


class _Answers(Protocol):
    """A Bundle that marks parts of texts, opened."""

    @property
    def task(self) -> Any:
        """Its task."""
        ...

    def infer(self, texts: Inputs) -> tuple[Any, Any]:
        """Return the evidence of raw texts, and what reading them took."""
        ...


class WordCutter:
    """Cuts raw texts into words.

    Args:
        segmenter: What marks the words of a text.
        labels: Its labels.
    """

    def __init__(self, segmenter: _Answers, labels: Sequence[str]) -> None:
        self._segmenter, self._labels = segmenter, labels

    def places(self, texts: Sequence[str]) -> Ragged:
        """Return where each word of N texts begins and ends, int64, shape (M, 2); no character is in none but spaces.

        Args:
            texts: As they were given.
        """
        evidence, _ = self._segmenter.infer(Inputs((texts,)))
        marked = self._segmenter.task.decide(evidence, self._labels).predictions
        blocks = unit_places(texts, "words")
        ends = blocks.offsets.tolist()
        found, lengths = [], []
        for row, spans in enumerate(marked):
            cuts = sorted({place for span in spans or () for place in _edges(span)})
            words = [word for block in blocks.values[ends[row] : ends[row + 1]].tolist() for word in _cut(block, cuts)]
            found += words
            lengths.append(len(words))
        offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
        return Ragged(np.array(found, dtype=np.int64).reshape(-1, 2), offsets)


def _edges(span: Span) -> tuple[int, int]:
    return span.start, span.end


def _cut(block: Sequence[int], cuts: Sequence[int]) -> list[tuple[int, int]]:
    """Return the words of what stands between two spaces: it begins and ends one, whatever was marked."""
    begin, end = block
    return list(pairwise([begin, *(one for one in cuts if begin < one < end), end]))
