"""Answers that are told while they are written: from the tokens of a step to whole characters; it knows no model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from yanmo.arrays import IntArray
from yanmo.protocols import AnswerWatcher
from yanmo.text.growing import GrowingText
from yanmo.text.wordpieces import without_blanks

__all__ = ["GrowingAnswers", "GrowingPieces"]


class _Growing(Protocol):
    def push(self, tokens: Sequence[int]) -> str: ...


class GrowingPieces:
    """A text of joined word pieces as it grows, without blanks beside Chinese characters.

    Args:
        text: As the tokenizer joins it.
    """

    def __init__(self, text: GrowingText) -> None:
        self._text = text
        self._num_told = 0

    def push(self, tokens: Sequence[int]) -> str:
        """Take tokens, and return what is decided since."""
        self._text.push(tokens)
        # Whether a blank stays is decided by what comes behind it.
        whole = without_blanks(self._text.text, np.zeros(0, np.int64))[0].rstrip(" ")
        new = whole[self._num_told :]
        self._num_told = len(whole)
        return new


class GrowingAnswers:
    """The answers of a batch that are watched.

    Args:
        watcher: Who is told.
        rows_B: The row of each text of the batch, as the watcher counts them.
        end_id: The token that ends an answer, which is no text.
        open_text: Begins a text.
    """

    def __init__(
        self, watcher: AnswerWatcher, rows_B: IntArray, *, end_id: int, open_text: Callable[[], _Growing]
    ) -> None:
        self._watcher = watcher
        self._end_id = end_id
        self._rows = rows_B.tolist()
        self._texts = {text: open_text() for text, row in enumerate(self._rows) if row in watcher.rows}

    def step(self, texts_R: IntArray, ids_R: IntArray) -> list[int]:
        """Take the next token of each text that is still written, and return the places of those nobody waits for."""
        gone = []
        for place, (text, token) in enumerate(zip(texts_R.tolist(), ids_R.tolist(), strict=True)):
            growing = self._texts.get(text)
            if growing is None:
                continue
            new = "" if token == self._end_id else growing.push([token])
            if not self._watcher.grow(self._rows[text], new):
                gone.append(place)
        return gone
